package controller

import (
	"context"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
)

// artifactSource is what is read of a source of any kind: where its artifact is.
type artifactSource interface {
	client.Object
	GetArtifact() *meta.Artifact
}

// newSource returns an empty source of a kind; nil for a kind that has no artifacts to render from.
func newSource(kind string) artifactSource {
	switch kind {
	case sourcev1.GitRepositoryKind:
		return &sourcev1.GitRepository{}
	case sourcev1.OCIRepositoryKind:
		return &sourcev1.OCIRepository{}
	case sourcev1.BucketKind:
		return &sourcev1.Bucket{}
	case sourcev1.HelmChartKind:
		return &sourcev1.HelmChart{}
	case sourcev1.ExternalArtifactKind:
		return &sourcev1.ExternalArtifact{}
	default:
		return nil
	}
}

// sources reads what subjects name as their source.
type sources struct {
	cached, live client.Reader
	access       access.Checker
	// refuseExternal denies ExternalArtifacts.
	refuseExternal bool
}

// read reads the source that o.source names; field is the reference in the spec, kinds are those that may be there. An empty
// namespace in the reference was replaced by the subject's own before.
func (s *sources) read(ctx context.Context, o *observation, field string, kinds []string) (artifactSource, error) {
	ref := o.source
	if err := o.allow(s.access, ref.Kind, ref.Namespace, ref.Name); err != nil {
		return nil, err
	}
	source := newSource(ref.Kind)
	if source == nil || !slices.Contains(kinds, ref.Kind) {
		return nil, problemf(render.ReasonArtifact, "%s.kind: nothing can be made from a %s here; use one of %s",
			field, ref.Kind, strings.Join(kinds, ", "))
	}
	if ref.Kind == sourcev1.ExternalArtifactKind && s.refuseExternal {
		return nil, problemf(reasonAccessDenied, "can't access '%s/%s/%s', %s feature gate is disabled (--feature-gates of render-controller)",
			ref.Kind, ref.Namespace, ref.Name, ref.Kind)
	}
	err := o.reader(s.cached, s.live).Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, source)
	if apierrors.IsNotFound(err) {
		return nil, o.notFound()
	}
	return source, err
}

// standing is how a source stands, beside its artifact.
type standing struct {
	// observed is the generation that its status speaks of.
	observed   int64
	suspended  bool
	conditions []metav1.Condition
}

func (s *standing) equal(other *standing) bool {
	return s.observed == other.observed && s.suspended == other.suspended &&
		equality.Semantic.DeepEqual(s.conditions, other.conditions)
}

// standingOf returns how a source stands that a chart can come from; nil for one whose artifact says it all.
func standingOf(source client.Object) *standing {
	switch s := source.(type) {
	case *sourcev1.HelmChart:
		return &standing{s.Status.ObservedGeneration, s.Spec.Suspend, s.Status.Conditions}
	case *sourcev1.OCIRepository:
		return &standing{s.Status.ObservedGeneration, s.Spec.Suspend, s.Status.Conditions}
	default:
		return nil
	}
}

// unready says why nothing is released from a source yet; nil when it is ready. What a suspended source has is used: nobody
// will look at its spec until it is resumed.
func unready(kind string, source artifactSource) error {
	s := standingOf(source)
	switch {
	case s == nil && source.GetArtifact() == nil:
		return waitingf(reasonSourceNotReady, "%s '%s/%s' is not ready: it has no artifact yet", kind, source.GetNamespace(), source.GetName())
	case s == nil, s.suspended && source.GetArtifact() != nil:
		return nil
	case s.observed != source.GetGeneration():
		return waitingf(reasonSourceNotReady, "%s '%s/%s' is not ready: its latest generation has not been reconciled",
			kind, source.GetNamespace(), source.GetName())
	case source.GetArtifact() != nil && !apimeta.IsStatusConditionTrue(s.conditions, meta.StalledCondition):
		return nil
	}
	report := problemf
	if s.waits() {
		report = waitingf
	}
	return report(reasonSourceNotReady, "%s '%s/%s' is not ready: %s", kind, source.GetNamespace(), source.GetName(), s.message())
}

// reasonNoSourceArtifact is what a HelmChart says while its own source has no artifact.
const reasonNoSourceArtifact = "NoSourceArtifact"

// waits tells a source that needs time, or waits for its own source, from one that failed.
func (s *standing) waits() bool {
	ready := apimeta.FindStatusCondition(s.conditions, meta.ReadyCondition)
	return ready == nil || ready.Status == metav1.ConditionUnknown || ready.Reason == reasonNoSourceArtifact
}

func (s *standing) message() string {
	for _, name := range []string{meta.StalledCondition, meta.ReadyCondition} {
		if c := apimeta.FindStatusCondition(s.conditions, name); c != nil && c.Message != "" {
			return c.Message
		}
	}
	return "it has no artifact yet"
}

// trackedRevision is the revision whose digest tells charts of the same version apart: that of a source whose tags can be
// moved. It is empty where the revision is the chart's version itself.
func trackedRevision(source v1alpha1.Source) string {
	switch {
	case source.Kind == sourcev1.OCIRepositoryKind,
		source.Kind == sourcev1.ExternalArtifactKind && strings.Contains(source.Revision, ":"):
		return source.Revision
	default:
		return ""
	}
}
