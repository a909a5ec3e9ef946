// Package report is the only place that writes to the API server: one status patch per attempt, and none when nothing
// changed; the finalizer; and events, in the cluster and on the bus, when there is something new to say.
package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/source-controller/internal/measure"
)

// Controller is the name that this controller reports and owns fields under.
const Controller = "source-controller"

// Object is a source: something with conditions and an artifact.
type Object interface {
	client.Object
	GetConditions() []metav1.Condition
	GetArtifact() *meta.Artifact
}

// Bus takes events off the reconcile path.
type Bus interface {
	// Announce never blocks; announcing the same id again is harmless.
	Announce(id string, ev event.Event)
}

// Reporter reads and writes the sources of one kind. It is safe for concurrent use on different objects.
type Reporter struct {
	// Kind is that of the sources.
	Kind string
	// Client reads from a cache and writes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Events writes core/v1 events.
	Events record.EventRecorder
	// Bus announces events to other controllers; nil for nobody.
	Bus Bus
	// Host is the reporting instance in events.
	Host string
	// Measure records how long it took to handle an object, or forgets an object that is gone.
	Measure func(ctx context.Context, obj conditions.Getter, started time.Time)
	// Metrics time the attempts; nil for nobody.
	Metrics *measure.Metrics
	// Schedule says when to look again.
	Schedule Schedule

	// failures are what was logged of the objects that fail now, by name.
	failures sync.Map
	// written is the resourceVersion of the last write to each object, by UID. The cache may be behind it.
	written sync.Map
}

// Get reads an object: from the cache, or from the API server while the cache has not seen our own last write. Deciding
// on an older status would repeat or lose what was written.
func (r *Reporter) Get(ctx context.Context, key client.ObjectKey, into client.Object) error {
	if err := r.Client.Get(ctx, key, into); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(key)
		}
		return fmt.Errorf("read object: %w", err)
	}
	last, ok := r.written.Load(into.GetUID())
	if !ok || !older(into.GetResourceVersion(), last) {
		return nil
	}
	if err := r.Live.Get(ctx, key, into); err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	return nil
}

// older compares resource versions, which Kubernetes guarantees to be growing decimal numbers per resource.
func older(version string, than any) bool {
	text, ok := than.(string)
	a, errA := strconv.ParseUint(version, 10, 64)
	b, errB := strconv.ParseUint(text, 10, 64)
	return ok && errA == nil && errB == nil && a < b
}

// Status writes what differs between the statuses of two states of an object; it writes nothing if they are the same.
// An object that is gone is no error.
func (r *Reporter) Status(ctx context.Context, before, after client.Object) error {
	patch := client.MergeFrom(before)
	data, err := patch.Data(after)
	if err != nil {
		return fmt.Errorf("compare status: %w", err)
	}
	if empty(data) {
		return nil
	}
	err = r.Client.Status().Patch(ctx, after, client.RawPatch(types.MergePatchType, data), client.FieldOwner(Controller))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	r.written.Store(after.GetUID(), after.GetResourceVersion())
	return nil
}

func empty(patch []byte) bool {
	var fields map[string]any
	return json.Unmarshal(patch, &fields) == nil && len(fields) == 0
}

// Claim adds the finalizer if it is missing. It reports whether the object is still there.
func (r *Reporter) Claim(ctx context.Context, obj client.Object) (bool, error) {
	err := r.finalizer(ctx, obj, controllerutil.AddFinalizer)
	if errors.Is(err, errGone) {
		return false, nil
	}
	return err == nil, err
}

// Release removes the finalizer of a deleted object, and forgets it.
func (r *Reporter) Release(ctx context.Context, obj client.Object) error {
	err := r.finalizer(ctx, obj, controllerutil.RemoveFinalizer)
	r.written.Delete(obj.GetUID())
	r.forget(client.ObjectKeyFromObject(obj))
	if errors.Is(err, errGone) {
		return nil
	}
	if err == nil {
		ctrl.LoggerFrom(ctx).Info("removed the artifacts of a deleted object")
	}
	return err
}

// Disclaim removes the finalizer of an object that there is nothing to reconcile about any more.
func (r *Reporter) Disclaim(ctx context.Context, obj client.Object) error {
	err := r.finalizer(ctx, obj, controllerutil.RemoveFinalizer)
	r.forget(client.ObjectKeyFromObject(obj))
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// forget drops what is remembered of an object by its name.
func (r *Reporter) forget(key client.ObjectKey) {
	r.failures.Delete(key)
	r.Schedule.Retry.Forget(ctrl.Request{NamespacedName: key})
}

var errGone = errors.New("the object is gone")

// claims is how often a finalizer is written when somebody else changes the object meanwhile.
const claims = 5

func (r *Reporter) finalizer(ctx context.Context, obj client.Object, change func(client.Object, string) bool) (err error) {
	deleted := !obj.GetDeletionTimestamp().IsZero()
	for range claims {
		before, ok := obj.DeepCopyObject().(client.Object)
		if !ok || !change(obj, sourcev1.SourceFinalizer) {
			return nil
		}
		// The list is replaced as a whole: with the lock, a finalizer of somebody else's is never lost.
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		err = r.Client.Patch(ctx, obj, patch, client.FieldOwner(Controller))
		if err == nil {
			r.written.Store(obj.GetUID(), obj.GetResourceVersion())
			return nil
		}
		if apierrors.IsConflict(err) {
			err = r.Live.Get(ctx, client.ObjectKeyFromObject(obj), obj)
		}
		if apierrors.IsNotFound(err) || err == nil && deleted != !obj.GetDeletionTimestamp().IsZero() {
			return errGone
		}
		if err != nil {
			return fmt.Errorf("write finalizer: %w", err)
		}
	}
	return errors.New("write finalizer: the object changes all the time")
}
