package controller

import (
	"context"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// maxWaiting is how many unhealthy objects are named.
const maxWaiting = 10

// checkHealth looks once at what is not known to be healthy, and at what has moved since.
func (p *pass) checkHealth(ctx context.Context, state plan.State) error {
	moved := p.mem.mailbox.takeHealth()
	if err := p.ensureRefs(); err != nil {
		return err
	}
	hands, err := p.hands()
	if err != nil {
		return err
	}
	look := p.toCheck(moved)
	report, err := health.Check(ctx, hands.Client, look, p.mem.exprs)
	if err != nil {
		return err
	}
	p.mem.unhealthy = make(map[inventory.ID]bool)
	for _, findings := range [][]health.Finding{report.Failed, report.InProgress} {
		for _, f := range findings {
			p.mem.unhealthy[f.ID] = true
		}
	}
	report.Total = int64(len(p.mem.refs))
	report.Ready = report.Total - int64(len(p.mem.unhealthy))
	p.mem.report = report
	p.health = &plan.Health{State: healthState(report), Message: strings.Join(report.Waiting(maxWaiting), ", ")}
	if state.Attempt.Stage == plan.Ended {
		p.noteHealth(p.syncInMemory(), true)
		return p.writeSync(ctx)
	}
	return nil
}

// toCheck are the objects that are not known to be healthy, that moved since they were, or of which no watch would say so.
func (p *pass) toCheck(moved map[inventory.ID]bool) []health.Ref {
	if p.mem.unhealthy == nil {
		return p.mem.refs
	}
	ours := p.statusInventory()
	var look []health.Ref
	for _, ref := range p.mem.refs {
		watched := ours.Has(ref.ID) && health.Relevant(ref.ID.GroupKind)
		if !watched || p.mem.unhealthy[ref.ID] || moved[ref.ID] {
			look = append(look, ref)
		}
	}
	return look
}

// ensureRefs finds out again, after a restart, which objects are checked.
func (p *pass) ensureRefs() error {
	if p.mem.refs != nil && p.mem.exprs != nil {
		return nil
	}
	content, err := p.heldContent()
	if err != nil {
		return err
	}
	return p.findRefs(content)
}

// findRefs finds out which objects of a content, or beside it, are checked.
func (p *pass) findRefs(content rendering.Content) error {
	checks := p.subject.healthChecks()
	exprs, err := health.Compile(checks.exprs)
	if err != nil {
		return err
	}
	p.mem.exprs, p.mem.refs = exprs, healthRefs(checks, exprs, content, p.self())
	return nil
}

func healthState(r health.Report) string {
	switch {
	case r.Total == 0:
		return v1alpha1.HealthUnknown
	case len(r.Failed) > 0:
		return v1alpha1.HealthFailed
	case len(r.InProgress) > 0:
		return v1alpha1.HealthProgressing
	}
	return v1alpha1.HealthHealthy
}

// healthRefs are the objects whose health decides: the named ones, or every applied one whose health can be bad, by its kind
// or by an expression. The subject itself is never one of them.
func healthRefs(checks healthChecks, exprs *health.Expressions, content rendering.Content, self inventory.ID) []health.Ref {
	known := make(map[inventory.ID]health.Ref, len(content.Objects))
	refs := make([]health.Ref, 0, len(content.Objects))
	for _, o := range content.Objects {
		ref := health.Ref{
			Entry: inventory.EntryOf(o.Object), MayVanish: vanishes(o.Object),
			Tainted: o.Tainted || o.Object.GetKind() == "Secret",
		}
		known[ref.ID] = ref
		judged := health.Relevant(ref.ID.GroupKind) || exprs.Covers(ref.ID.GroupKind)
		if checks.all && judged && ref.ID != self && !skipped(o.Object) {
			refs = append(refs, ref)
		}
	}
	if checks.all {
		return refs
	}
	for _, named := range checks.named {
		if ref := namedRef(named, known, self.Namespace); ref.ID != self {
			refs = append(refs, ref)
		}
	}
	return refs
}

// namedRef is the applied object of that name, or one beside them. Without a namespace it is the subject's own, or none.
func namedRef(named meta.NamespacedObjectKindReference, known map[inventory.ID]health.Ref, namespace string) health.Ref {
	ref := health.Ref{Entry: namedEntry(named, namespace)}
	if applied, found := known[ref.ID]; found {
		return applied
	}
	if id := ref.ID; named.Namespace == "" {
		id.Namespace = ""
		if applied, found := known[id]; found {
			return applied
		}
	}
	return ref
}

func namedEntry(ref meta.NamespacedObjectKindReference, namespace string) inventory.Entry {
	version := ref.APIVersion
	if version == "" {
		version = "apps/v1"
	}
	gvk := schema.FromAPIVersionAndKind(version, ref.Kind)
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	return inventory.Entry{ID: inventory.ID{Namespace: namespace, Name: ref.Name, GroupKind: gvk.GroupKind()}, Version: gvk.Version}
}

// self is the subject as an object that may be among its own.
func (p *pass) self() inventory.ID {
	return inventory.ID{Namespace: p.key.Namespace, Name: p.key.Name, GroupKind: schema.GroupKind{Group: p.Kind.group, Kind: p.Kind.name}}
}

// vanishes says whether an object removes itself once it is done.
func vanishes(o *unstructured.Unstructured) bool {
	_, found, err := unstructured.NestedFieldNoCopy(o.Object, "spec", "ttlSecondsAfterFinished")
	return err == nil && found && o.GetKind() == "Job"
}

// skipped says whether an object asks not to be applied, so that its health says nothing about this attempt.
func skipped(o *unstructured.Unstructured) bool {
	for _, set := range []map[string]string{o.GetAnnotations(), o.GetLabels()} {
		for key, value := range set {
			_, name, _ := strings.Cut(key, ".toolkit.fluxcd.io/")
			if (name == "reconcile" && strings.EqualFold(value, kustomizev1.DisabledValue)) ||
				(name == "ssa" && strings.EqualFold(value, kustomizev1.IgnoreValue)) {
				return true
			}
		}
	}
	return false
}

// summary is the report as the Sync record has it.
func summary(r health.Report) v1alpha1.Health {
	h := v1alpha1.Health{State: healthState(r), Ready: r.Ready, Total: r.Total, Waiting: r.Waiting(maxWaiting)}
	if r.Total > 0 {
		h.Summary = fmt.Sprintf("%d/%d", r.Ready, r.Total)
	}
	return h
}
