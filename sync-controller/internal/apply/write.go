package apply

import (
	"context"
	"errors"
	"strings"
	"time"

	ssaerrors "github.com/fluxcd/pkg/ssa/errors"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxTakeovers is how often the merge of field managers is tried against an object that keeps moving.
const maxTakeovers = 4

// carryOut writes one object as planned, and notes the outcome in the step.
func (r *run) carryOut(ctx context.Context, s *step) *Failure {
	var failure *Failure
	switch s.plan {
	case planRecreate:
		failure = r.remove(ctx, s)
	case planTakeOver:
		failure = r.takeOver(ctx, s)
	case planApply, planNothing:
	}
	if failure != nil {
		return failure
	}
	applied, err := r.patch(ctx, s.item)
	if err != nil { // the API server may have taken a definition in since the dry-run
		applied, err = r.mend(ctx, s, err, func(ctx context.Context, it item) (*unstructured.Unstructured, error) { return r.patch(ctx, it) })
	}
	if err != nil {
		return refused(s.item, "apply failed", err)
	}
	s.applied = applied
	s.change.Live = metadataOf(applied, r.FieldManager)
	return nil
}

// takeOver merges the field managers, against the object as it is by then.
func (r *run) takeOver(ctx context.Context, s *step) *Failure {
	return r.patchLive(ctx, s, "cleanup of field managers failed", func(live *unstructured.Unstructured) ([]byte, error) {
		return takeover(live, r.FieldManager)
	})
}

// patchLive writes a merge patch that is made from the live object and holds its version, anew when it has moved meanwhile. A
// nil patch is nothing to do.
func (r *run) patchLive(ctx context.Context, s *step, operation string, make func(live *unstructured.Unstructured) ([]byte, error)) *Failure {
	for attempt := 1; ; attempt++ {
		patch, err := make(s.live)
		if err != nil {
			return failed(s.item, "has managedFields that cannot be read")
		}
		if patch == nil {
			return nil
		}
		target := s.live.DeepCopy()
		err = r.Client.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(r.FieldManager))
		switch {
		case err == nil:
			return nil
		case !apierrors.IsConflict(err) || attempt == maxTakeovers:
			return refused(s.item, operation, err)
		}
		live, failure := r.read(ctx, s.item)
		if failure != nil || live == nil {
			return failure
		}
		s.live = live
	}
}

// remove deletes the very object that was read, and waits until it is gone.
func (r *run) remove(ctx context.Context, s *step) *Failure {
	uid := s.live.GetUID()
	err := r.Client.Delete(ctx, s.live.DeepCopy(), client.Preconditions{UID: &uid},
		client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err != nil && !apierrors.IsNotFound(err) {
		return refused(s.item, "delete failed", err)
	}
	r.options.Progress.wait(s.entry.ID, "it is being recreated, and not gone yet")
	defer r.options.Progress.wait(s.entry.ID, "")
	err = wait.PollUntilContextTimeout(ctx, pollFirst, r.options.stageTimeout(), true,
		func(ctx context.Context) (bool, error) {
			live := &metav1.PartialObjectMetadata{}
			live.SetGroupVersionKind(s.entry.Kind())
			err := r.Client.Get(ctx, client.ObjectKeyFromObject(s.desired), live)
			if apierrors.IsNotFound(err) || err == nil && live.UID != uid {
				return true, nil
			}
			return false, err
		})
	switch {
	case err == nil:
		return nil
	case wait.Interrupted(err):
		return failed(s.item, "is being recreated, but is still there after %s: something holds it by a finalizer",
			r.options.stageTimeout().Round(time.Second))
	}
	return refused(s.item, "query failed", err)
}

// mayRecreate says whether the object may be deleted and created again, given why its dry-run failed: when it is allowed,
// when the refusal looks like an immutable field, and when the API server would take the new object under another name.
// The last is what keeps an object alive that is simply invalid, and would be lost.
func (r *run) mayRecreate(ctx context.Context, s step, refusal error) bool {
	if s.live == nil || !apierrors.IsInvalid(refusal) && !ssaerrors.IsImmutableError(refusal) {
		return false
	}
	forced := r.options.Force && !lossy(s.desired) && !r.rules.neverRecreate(s.desired, s.live)
	if !forced && !r.rules.recreate(s.desired, s.live) {
		return false
	}
	probe := s.desired.DeepCopy()
	probe.SetName("")
	probe.SetGenerateName("sluice-dry-run-")
	err := r.Client.Create(ctx, probe, client.DryRunAll, client.FieldOwner(r.FieldManager))
	return err == nil || onlyRenamed(err)
}

// onlyRenamed says that a probe was refused for nothing but being there beside the object itself: some kinds prescribe
// their names, and a Service's ports and addresses are given once.
func onlyRenamed(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	causes := status.Status().Details.Causes
	for _, cause := range causes {
		if cause.Field != "metadata.name" && !strings.Contains(cause.Message, "already allocated") {
			return false
		}
	}
	return len(causes) > 0
}
