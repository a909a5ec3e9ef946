package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/peers"
	"github.com/sluice-gitops/sluice/sync-controller/internal/record"
	"github.com/sluice-gitops/sluice/sync-controller/internal/store"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// TestHealthyCostsNothing: what was seen healthy is not asked for again at an interval, whatever came before.
func TestHealthyCostsNothing(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.Wait, ks.Spec.Interval.Duration = true, interval
	})
	objects := []*unstructured.Unstructured{s.deployment("web"), s.configMap("one", "1")}
	s.render(ks, first, objects...)
	s.ready(ks, "Unknown", "Progressing", "health checks")
	s.finish("web")
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.idle(interval) // the status that made it healthy may still be on its way, and is worth a look
	s.render(ks, second, objects...)
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	s.requests.take()
	s.rest(2*interval + time.Second)
	if seen := s.requests.take(); len(seen) > 0 {
		t.Errorf("interval passes after a revision that moved: %s", strings.Join(seen, ", "))
	}
}

// TestHealthAfterwards: the record follows the health of what was applied long ago; the next revision, or the next
// interval, makes it the subject's own.
func TestHealthAfterwards(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Wait = true })
	s.render(ks, first, s.deployment("web"))
	s.ready(ks, "Unknown", "Progressing", "health checks")
	s.finish("web")
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.hang("web")
	s.recordedHealth(v1alpha1.HealthFailed, "False")
	s.render(ks, second, s.deployment("web"))
	s.ready(ks, "False", "HealthCheckFailed", "Deployment/"+s.namespace+"/web")
	s.finish("web")
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	s.recordedHealth(v1alpha1.HealthHealthy, "True")

	// Nobody asks for health any more: nothing is said about it.
	base := ks.DeepCopy()
	ks.Spec.Wait = false
	if err := s.client.Patch(t.Context(), ks, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
	s.render(ks, second, s.deployment("web"))
	s.recordedHealth(v1alpha1.HealthUnknown, "Unknown")
}

func (s *stack) recordedHealth(state string, condition metav1.ConditionStatus) {
	s.t.Helper()
	s.eventually("the record's health", func() string {
		r := &v1alpha1.Sync{}
		s.get(r, "kustomization-app")
		c := apimeta.FindStatusCondition(r.Status.Conditions, "Healthy")
		if r.Health.State != state || c == nil || c.Status != condition {
			return fmt.Sprintf("%+v, %+v", r.Health, c)
		}
		return ""
	})
}

// TestHealthDeadline: neither restarts nor revisions that change nothing put off the end of a health wait.
func TestHealthDeadline(t *testing.T) {
	t.Parallel()
	for name, interrupt := range map[string]func(*stack, *kustomizev1.Kustomization){
		"restarts": func(s *stack, _ *kustomizev1.Kustomization) {
			s.stop()
			s.start()
		},
		"revisions": func(s *stack, ks *kustomizev1.Kustomization) {
			s.render(ks, second, s.deployment("web"))
			s.ready(ks, "Unknown", "Progressing", second)
		},
		"a restart at a new revision": func(s *stack, ks *kustomizev1.Kustomization) {
			s.stop()
			s.render(ks, third, s.deployment("web"))
			s.start()
			s.ready(ks, "Unknown", "Progressing", third)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t).start()
			ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
				ks.Spec.Wait = true
				ks.Spec.Timeout = &metav1.Duration{Duration: time.Hour}
			})
			s.render(ks, first, s.deployment("web"))
			s.ready(ks, "Unknown", "Progressing", "health checks")
			s.later(40 * time.Minute)
			interrupt(s, ks)
			s.later(40 * time.Minute)
			s.ready(ks, "False", "HealthCheckFailed", "timeout after 1h0m0s")
		})
	}
}

// TestNewContentHasItsOwnDeadline: the time that another content took does not count.
func TestNewContentHasItsOwnDeadline(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.Wait = true
		ks.Spec.Timeout = &metav1.Duration{Duration: time.Hour}
	})
	s.render(ks, first, s.deployment("web"))
	s.ready(ks, "Unknown", "Progressing", "health checks")
	s.later(40 * time.Minute)
	s.render(ks, second, s.deployment("web"), s.configMap("one", "1"))
	s.ready(ks, "Unknown", "Progressing", second)
	s.later(40 * time.Minute)
	s.rest(6 * time.Second) // longer than between two looks
	if s.get(ks, "app"); apimeta.IsStatusConditionFalse(ks.Status.Conditions, "Ready") {
		t.Errorf("conditions: %+v", ks.Status.Conditions)
	}
}

// nothingWatched knows no object.
type nothingWatched struct{}

func (nothingWatched) SetKinds([]drift.Kind)                           {}
func (nothingWatched) Synced(string, schema.GroupKind) bool            { return true }
func (nothingWatched) Fingerprint(string, inventory.ID) (string, bool) { return "", false }
func (nothingWatched) Get(context.Context, string, string, int64) ([]byte, error) {
	return nil, errors.New("nothing is served")
}

// alone is a reconciler without a manager.
func (s *stack) alone() *Reconciler {
	s.t.Helper()
	store, err := store.Open(s.storage)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = store.Close() })
	return &Reconciler{
		Kind: subject.Kustomizations(), Client: s.client, Live: s.client, Store: store, AllowFlux: true, Jitter: spread(0), Now: time.Now,
		Watcher: nothingWatched{}, Fetcher: nothingWatched{}, Managed: drift.NewManaged(nothingWatched{}), Gates: &peers.Gates{}, Dependency: time.Minute,
		Events: &events.Emitter{Kind: subject.Kustomizations(), Announcer: s.announced, Now: time.Now},
	}
}

// TestWaitingIsOrdinary: whatever brought a subject to the front, its next pass waits like everybody's.
func TestWaitingIsOrdinary(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Finalizers = []string{finalizer} })
	r := s.alone()
	req := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: s.namespace, Name: "app"}}
	result, err := r.Reconcile(t.Context(), req)
	if err != nil || result.RequeueAfter <= 0 || result.Priority == nil || *result.Priority != 0 {
		t.Errorf("waiting for a Render: %+v, %v", result, err)
	}
	r.Client = failing{r.Client}
	result, err = r.Reconcile(t.Context(), req)
	if err == nil || result.RequeueAfter != 0 || result.Priority == nil || *result.Priority != 0 {
		t.Errorf("after an error: %+v, %v", result, err)
	}
}

// failing reads nothing.
type failing struct{ client.Client }

func (failing) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("no connection")
}

// TestChangedFirst: subjects with new content go before all others, and those of a start after them.
func TestChangedFirst(t *testing.T) {
	record := func(tag string) *v1alpha1.Render {
		return &v1alpha1.Render{
			ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "kustomization-web"},
			Subject:    v1alpha1.Subject{Kind: "Kustomization", Name: "web"}, Rendering: &v1alpha1.Rendering{Tag: tag},
		}
	}
	for name, tc := range map[string]struct {
		reason   string
		event    func(*Reconciler, queue)
		priority int
	}{
		"content": {"another tag is new content", func(r *Reconciler, q queue) {
			r.renderUpdated(t.Context(), event.UpdateEvent{ObjectOld: record("a"), ObjectNew: record("b")}, q)
		}, changedPriority},
		"revision": {"the same tag can wait", func(r *Reconciler, q queue) {
			r.renderUpdated(t.Context(), event.UpdateEvent{ObjectOld: record("a"), ObjectNew: record("a")}, q)
		}, 0},
		"created": {"a first rendering is new content", func(r *Reconciler, q queue) {
			r.renderCreated(t.Context(), event.CreateEvent{Object: record("a")}, q)
		}, changedPriority},
		"start": {"what was there at the start comes last", func(r *Reconciler, q queue) {
			r.renderCreated(t.Context(), event.CreateEvent{Object: record("a"), IsInInitialList: true}, q)
		}, handler.LowPriority},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Reconciler{Kind: subject.Kustomizations(), Managed: drift.NewManaged(nothingWatched{}), Gates: &peers.Gates{}}
			q := priorityqueue.New[ctrl.Request]("test-" + name)
			defer q.ShutDown()
			tc.event(r, q)
			if _, priority, _ := q.GetWithPriority(); priority != tc.priority {
				t.Errorf("%s: priority %d, want %d", tc.reason, priority, tc.priority)
			}
		})
	}
}

// TestRefusedContentsAreNotCollected: of contents that were never applied only the newest is kept.
func TestRefusedContentsAreNotCollected(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	for i := range 4 {
		revision := fmt.Sprintf("main@sha1:%040d", i)
		bad := s.deployment("web")
		unstructured.RemoveNestedField(bad.Object, "spec", "selector")
		s.render(ks, revision, bad, s.configMap("two", revision))
		s.eventually("it is refused", func() string {
			if s.get(ks, "app"); ks.Status.LastAttemptedRevision != revision {
				return "at " + ks.Status.LastAttemptedRevision
			}
			return ""
		})
	}
	kept, err := filepath.Glob(filepath.Join(s.storage, "kustomization", s.namespace, "app", "*.age"))
	if err != nil || len(kept) != 2 {
		t.Errorf("kept are %v, %v", kept, err)
	}
	s.tamper("one", "foreign")
	s.eventually("what was applied last is healed", func() string { return s.value("one", "1") })
}

// TestShortestInterval: an interval of 0, which the API server takes, is no busy loop.
func TestShortestInterval(t *testing.T) {
	zero := metav1.Duration{}
	for name, s := range map[string]subject.Subject{
		"Kustomization": subject.Kustomizations().Of(&kustomizev1.Kustomization{Spec: kustomizev1.KustomizationSpec{Interval: zero, RetryInterval: &zero}}),
		"HelmRelease":   subject.HelmReleases().Of(&helmv2.HelmRelease{Spec: helmv2.HelmReleaseSpec{Interval: zero}}),
	} {
		if v := s.Plan(); v.Interval < time.Second || v.RetryInterval < time.Second {
			t.Errorf("%s: interval %s, after a failure %s", name, v.Interval, v.RetryInterval)
		}
	}
}

// TestOrphansLeaveNothing: objects that name a subject that is gone, or is another process' own, take no memory.
func TestOrphansLeaveNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.kustomization("other", func(ks *kustomizev1.Kustomization) { ks.Labels = nil })
	r := s.alone()
	r.Selector = labels.SelectorFromSet(labels.Set{"test": s.namespace})
	for _, name := range []string{"gone", "other"} {
		key := subject.Key{Kind: "Kustomization", Namespace: s.namespace, Name: name}
		r.memories.of(key).pending.Put(drift.Signal{Type: drift.StatusChanged, Object: inventory.Entry{ID: inventory.ID{Name: "x"}}})
		r.Gates.Wait("source", key)
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: s.namespace, Name: name}}); err != nil {
			t.Error(err)
		}
	}
	if n := len(r.memories.all); n != 0 || r.Gates.Len() != 0 {
		t.Errorf("%d memories, gates %v", n, r.Gates.Len())
	}
}

// TestDeletedRecordComesBack: what somebody deleted by hand says again what it said.
func TestDeletedRecordComesBack(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	before, after := &v1alpha1.Sync{}, &v1alpha1.Sync{}
	s.get(before, "kustomization-app")
	s.delete(&v1alpha1.Sync{}, "kustomization-app")
	s.eventually("there is another one", func() string {
		if err := s.client.Get(t.Context(), s.name("kustomization-app"), after); err != nil {
			return err.Error()
		}
		if after.UID == before.UID {
			return "it is the same"
		}
		return ""
	})
	if !record.Same(before, after) {
		t.Errorf("it was %+v and is %+v", before, after)
	}
}

// TestIntervalOpensNothing: a pass over objects that are as they were left needs no content; the first that is not, does.
func TestIntervalOpensNothing(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Interval.Duration = interval })
	s.render(ks, first, s.configMap("one", "1"), s.configMap("two", "2"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.idle(interval)
	kept := filepath.Join(s.storage, "kustomization", s.namespace, "app")
	files, err := filepath.Glob(filepath.Join(kept, "*.age"))
	if err != nil || len(files) != 1 {
		t.Fatalf("kept are %v, %v", files, err)
	}
	if err := os.Rename(files[0], filepath.Join(s.storage, "away")); err != nil {
		t.Fatal(err)
	}
	s.rest(2*interval + time.Second)
	if files, _ := filepath.Glob(filepath.Join(kept, "*.age")); len(files) != 0 {
		t.Error("the content was fetched again for a pass that finds nothing")
	}
	s.tamper("one", "foreign")
	s.eventually("the change is corrected", func() string { return s.value("one", "1") })
}

// TestGoneWhileDown: nothing is kept of a subject that was deleted while no process was there to see it.
func TestGoneWhileDown(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	for _, name := range []string{"gone", "stays"} {
		ks := s.kustomization(name)
		s.render(ks, first, s.configMap(name, "1"))
		s.ready(ks, "True", "ReconciliationSucceeded", first)
	}
	s.stop()
	ks := &kustomizev1.Kustomization{}
	s.delete(ks, "gone")
	s.get(ks, "gone")
	ks.Finalizers = nil
	if err := s.client.Update(t.Context(), ks); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.eventually("only what is there is kept", func() string {
		kept, err := filepath.Glob(filepath.Join(s.storage, "kustomization", s.namespace, "*"))
		if err != nil || len(kept) != 1 || filepath.Base(kept[0]) != "stays" {
			return fmt.Sprintf("%v, %v", kept, err)
		}
		return ""
	})
}
