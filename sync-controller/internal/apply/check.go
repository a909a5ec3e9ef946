package apply

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/fluxcd/pkg/ssa/utils"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// plan is what has to be written for an object.
type plan int

const (
	planNothing plan = iota
	planApply
	planTakeOver // merge field managers first
	planRecreate // delete first
)

// step is what was found out about an object, and what became of it.
type step struct {
	item
	plan    plan
	live    *unstructured.Unstructured // as it was read, while it is needed; nil when it does not exist
	applied *unstructured.Unstructured // as the API server returned it; nil when nothing was written
	change  Change
	written bool
	failure *Failure
}

func (s step) kind() string { return s.entry.ID.GroupKind.Kind }

// check finds out what has to be done for an object. It writes nothing, except for what [run.mend] and [run.resolve] do. The dry-run comes
// first, because it tells whether the object exists: a new one need not be read.
func (r *run) check(ctx context.Context, it item) step {
	s := step{item: it, change: Change{Entry: it.entry, Action: Unchanged}}
	if r.options.Unchanged != nil && r.options.Unchanged(it.entry.ID) {
		return s
	}
	if s.failure = r.checkKind(it); s.failure != nil {
		return s
	}
	if r.rules.mayLeaveAlone(it.desired) && r.leaveAlone(ctx, &s) {
		return s
	}
	tried, err := r.try(ctx, it)
	if err == nil && tried.GetResourceVersion() == "" {
		s.plan, s.change.Action = planApply, Created
		if r.options.Done != nil && r.options.Done(it.entry.ID) {
			s.plan, s.change.Action = planNothing, Finished
		}
		return s
	}
	if r.leaveAlone(ctx, &s) {
		return s
	}
	if lostIn(err) != "" {
		tried, err = r.mend(ctx, &s, err, r.try)
		if r.leaveAlone(ctx, &s) { // it is another version of it by now
			return s
		}
	}
	return r.planned(ctx, s, tried, err)
}

// planned says what has to be done for an object that exists, given what the dry-run said.
func (r *run) planned(ctx context.Context, s step, tried *unstructured.Unstructured, err error) step {
	switch {
	case err != nil:
		tried, err = r.resolve(ctx, &s, err)
	case s.scaled != 0 && s.live != nil:
		tried, err = r.keepReplicas(ctx, &s, tried)
	}
	switch {
	case err != nil && r.mayRecreate(ctx, s, err):
		s.plan, s.change.Action = planRecreate, Created
	case err != nil:
		s.failure = r.explain(s, err)
	case s.live == nil: // gone since the dry-run
		s.plan, s.change.Action = planApply, Created
	default:
		r.compare(&s, tried)
	}
	return s
}

// leaveAlone reads the live object, and says whether that is the end of it: because it asks to be left alone, or cannot be
// read.
func (r *run) leaveAlone(ctx context.Context, s *step) bool {
	if s.live, s.failure = r.read(ctx, s.item); s.failure != nil {
		return true
	}
	if !r.rules.leaveAlone(s.desired, s.live) {
		return false
	}
	s.change.Action = Skipped
	if s.live != nil {
		s.change.Live = metadataOf(s.live, r.FieldManager)
		s.live = nil
	}
	return true
}

// compare decides about an object that exists and can be applied.
func (r *run) compare(s *step, tried *unstructured.Unstructured) {
	s.change.Live = metadataOf(s.live, r.FieldManager)
	if !r.rules.keepForeignFields(s.desired, s.live) {
		patch, err := takeover(s.live, r.FieldManager)
		if err != nil {
			s.failure = failed(s.item, "has managedFields that cannot be read")
			return
		}
		if patch != nil {
			s.plan, s.change.Action = planTakeOver, Configured
			return
		}
	}
	if differs(s.live, tried, r.FieldManager) {
		s.plan, s.change.Action = planApply, Configured
	}
	s.live = nil // as large as the object, and not needed any more
}

// checkKind refuses an object whose kind is not installed, or that lacks the namespace it needs.
func (r *run) checkKind(it item) *Failure {
	gvk := it.entry.Kind()
	namespaced, err := r.kinds.find(gvk)
	switch {
	case meta.IsNoMatchError(err):
		return unknownKind(it)
	case err != nil:
		return refused(it, "lookup of its kind failed", err)
	case namespaced && it.entry.ID.Namespace == "":
		return failed(it, "namespace not specified: set metadata.namespace, or a target namespace for all objects")
	}
	return nil
}

func unknownKind(it item) *Failure {
	gvk := it.entry.Kind()
	return failed(it, "cannot be applied: no kind %s in group %s: is its CRD installed?", gvk.Kind, gvk.GroupVersion())
}

// read gets the live object; nil when it does not exist.
func (r *run) read(ctx context.Context, it item) (*unstructured.Unstructured, *Failure) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(it.entry.Kind())
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(it.desired), live)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		if apierrors.IsForbidden(err) { // of a name and nothing else: the answer has nothing of the object to repeat
			it.tainted = false
		}
		return nil, refused(it, "query failed", err)
	}
	return live, nil
}

// try is the dry-run. A kind that this apply has just defined, or defined anew, takes the API server a moment: for that
// long nothing that it says of the kind counts. All objects of a stage wait within the same time: there may be hundreds.
func (r *run) try(ctx context.Context, it item) (*unstructured.Unstructured, error) {
	tried, refusal := r.patch(ctx, it, client.DryRunAll)
	if !r.tooEarly(it, refusal) {
		return tried, refusal
	}
	limited, cancel := context.WithDeadline(ctx, r.stageEnds)
	defer cancel()
	r.options.Progress.wait(it.entry.ID, "the API server does not know its kind yet as it was just defined")
	defer r.options.Progress.wait(it.entry.ID, "")
	again := wait.Backoff{Duration: pollFirst, Factor: 1.5, Steps: 10, Cap: time.Second}
	err := again.DelayFunc().Until(limited, false, true, func(ctx context.Context) (bool, error) {
		answer, said := r.patch(ctx, it, client.DryRunAll)
		if ctx.Err() != nil { // the last answer says more than that there is none any more
			return false, nil
		}
		tried, refusal = answer, said
		return !r.tooEarly(it, refusal), nil
	})
	if refusal == nil {
		refusal = err
	}
	return tried, refusal
}

// tooEarly says whether a refusal may only mean that the API server has not taken in a definition of this apply.
func (r *run) tooEarly(it item, refusal error) bool {
	age, defined := r.kinds.justDefined(it.entry.ID.GroupKind)
	return defined && (unserved(refusal) || outdated(refusal) && age < schemaPatience)
}

// schemaPatience is how long after a definition a refusal may be one by the definition before.
const schemaPatience = 5 * time.Second

// outdated says that the refusal is one of the object's content, so that another definition could do without it.
func outdated(err error) bool {
	return apierrors.IsInvalid(err) || err != nil && strings.Contains(err.Error(), "field not declared in schema")
}

// patch makes the server-side apply request and returns the object as the API server sees it then.
func (r *run) patch(ctx context.Context, it item, o ...client.ApplyOption) (*unstructured.Unstructured, error) {
	object := it.desired.DeepCopy()
	o = append(o, client.ForceOwnership, client.FieldOwner(r.FieldManager))
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), o...)
	return object, err
}

// unserved says that the API server does not serve the kind (yet). An apply creates what does not exist, so the only other
// thing that is not found can be the namespace.
func unserved(err error) bool { return apierrors.IsNotFound(err) && missingNamespace(err) == "" }

// missingNamespace returns the namespace that the API server did not find; empty when that was not the reason.
func missingNamespace(err error) string {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return ""
	}
	if details := status.Status().Details; details != nil && details.Kind == "namespaces" {
		return details.Name
	}
	return ""
}

// explain is the failure for what a dry-run answered.
func (r *run) explain(s step, err error) *Failure {
	if name := missingNamespace(err); name != "" {
		return failed(s.item, "cannot be applied: namespace %s does not exist: create it, or add it to the source", name)
	}
	if unserved(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) { // it was, a while ago
		return unknownKind(s.item)
	}
	failure := refused(s.item, "dry-run failed", err)
	if s.live != nil && fixed.MatchString(err.Error()) {
		failure.Message += "; to have it deleted and created again, annotate it with " + r.rules.group + "/force: enabled"
	}
	return failure
}

// fixed is how the API server says that a field may not change: most kinds, and StatefulSets.
var fixed = regexp.MustCompile("immutable|updates to .* are forbidden")

// pollFirst is how soon to look again at something that should be there any moment.
const pollFirst = 50 * time.Millisecond

// lossy says that recreating the object would lose what is inside it: objects, or data.
func lossy(o *unstructured.Unstructured) bool {
	volume := o.GetAPIVersion() == "v1" && (o.GetKind() == "PersistentVolumeClaim" || o.GetKind() == "PersistentVolume")
	return volume || utils.IsCRD(o) || utils.IsNamespace(o)
}
