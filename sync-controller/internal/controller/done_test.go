package controller

import (
	"slices"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// once is an object that runs once and removes itself, or is cleared away.
type once struct {
	object func(s *stack, image string) *unstructured.Unstructured
	empty  func() client.Object
	// end brings the live object to its end, as its controller does.
	end func(s *stack, live client.Object)
}

func podSpec(image string) map[string]any {
	return map[string]any{"restartPolicy": "Never", "containers": []any{map[string]any{"name": "main", "image": image}}}
}

func runOnce() map[string]once {
	job := func(ttl bool) func(*stack, string) *unstructured.Unstructured {
		return func(s *stack, image string) *unstructured.Unstructured {
			spec := map[string]any{"template": map[string]any{"spec": podSpec(image)}}
			if ttl {
				spec["ttlSecondsAfterFinished"] = int64(1)
			}
			return &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "batch/v1", "kind": "Job", "spec": spec,
				"metadata": map[string]any{"namespace": s.namespace, "name": "migrate"},
			}}
		}
	}
	finish := func(s *stack, live client.Object) {
		o, _ := live.(*batchv1.Job)
		now := metav1.NewTime(time.Now())
		condition := func(kind batchv1.JobConditionType) batchv1.JobCondition {
			return batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now, LastProbeTime: now}
		}
		o.Status = batchv1.JobStatus{
			StartTime: &now, CompletionTime: &now, Succeeded: 1,
			Conditions: []batchv1.JobCondition{condition(batchv1.JobSuccessCriteriaMet), condition(batchv1.JobComplete)},
		}
		s.updateStatus(o)
	}
	return map[string]once{
		"Job with a time to live": {object: job(true), empty: func() client.Object { return &batchv1.Job{} }, end: finish},
		"Job":                     {object: job(false), empty: func() client.Object { return &batchv1.Job{} }, end: finish},
		"Pod": {
			object: func(s *stack, image string) *unstructured.Unstructured {
				return &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "v1", "kind": "Pod", "spec": podSpec(image),
					"metadata": map[string]any{"namespace": s.namespace, "name": "migrate"},
				}}
			},
			empty: func() client.Object { return &corev1.Pod{} },
			end: func(s *stack, live client.Object) {
				o, _ := live.(*corev1.Pod)
				o.Status.Phase = corev1.PodSucceeded
				s.updateStatus(o)
			},
		},
	}
}

func (s *stack) updateStatus(o client.Object) {
	s.t.Helper()
	if err := s.client.Status().Update(s.t.Context(), o, client.FieldOwner("kube-controller-manager")); err != nil {
		s.t.Fatal(err)
	}
}

// stays complains as soon as the object is made again, and otherwise after some time in which it would have been.
func (s *stack) stays(o client.Object, reason string) {
	s.t.Helper()
	s.rest(1500 * time.Millisecond)
	if err := s.client.Get(s.t.Context(), s.name("migrate"), o); !apierrors.IsNotFound(err) {
		s.t.Errorf("%s: it was made again (%v)", reason, err)
	}
}

// clear deletes the object that is there now, at once.
func (s *stack) clear(o client.Object) {
	s.t.Helper()
	s.get(o, "migrate")
	uid := o.GetUID()
	if err := s.client.Delete(s.t.Context(), o, client.GracePeriodSeconds(0), client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the object is gone", func() string {
		err := s.client.Get(s.t.Context(), s.name("migrate"), o)
		if err == nil && o.GetUID() == uid {
			return "it is there"
		}
		return complain(client.IgnoreNotFound(err))
	})
}

func (s *stack) healed(o client.Object, was types.UID) {
	s.t.Helper()
	s.eventually("it is made again", func() string {
		if err := s.client.Get(s.t.Context(), s.name("migrate"), o); err != nil {
			return err.Error()
		}
		if o.GetUID() == was {
			return "it is the old one"
		}
		return ""
	})
}

// TestDoneIsDone: what has run to its end is not made again when it is gone, until its content changes; what was deleted before
// its end is.
func TestDoneIsDone(t *testing.T) {
	t.Parallel()
	for name, c := range runOnce() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t).start()
			ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Interval.Duration = time.Second })
			s.render(ks, first, c.object(s, "example.org/a:1"), s.configMap("one", "1"))
			s.ready(ks, "True", "ReconciliationSucceeded", first)
			live := c.empty()
			s.get(live, "migrate")

			was := live.GetUID()
			s.clear(c.empty())
			s.healed(live, was)

			c.end(s, live)
			if name == "Pod" { // only a look tells of its end
				s.idle(time.Second)
			}
			s.clear(c.empty())
			s.stays(c.empty(), "done, and healed all the same")

			s.render(ks, second, c.object(s, "example.org/a:1"), s.configMap("one", "2"))
			s.ready(ks, "True", "ReconciliationSucceeded", second)
			s.stays(c.empty(), "another object changed")

			s.stop()
			s.start()
			s.render(ks, "main@sha1:cccc", c.object(s, "example.org/a:1"), s.configMap("one", "3"))
			s.ready(ks, "True", "ReconciliationSucceeded", "main@sha1:cccc")
			s.stays(c.empty(), "another process")

			s.render(ks, "main@sha1:dddd", c.object(s, "example.org/a:2"), s.configMap("one", "3"))
			s.ready(ks, "True", "ReconciliationSucceeded", "main@sha1:dddd")
			s.get(live, "migrate")
		})
	}
}

// TestDoneWhileNobodyWatches: what removes itself, and is gone when a process starts, had most likely come to its end; what
// does not was deleted.
func TestDoneWhileNobodyWatches(t *testing.T) {
	t.Parallel()
	for name, c := range runOnce() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t).start()
			ks := s.kustomization("app")
			s.render(ks, first, c.object(s, "example.org/a:1"))
			s.ready(ks, "True", "ReconciliationSucceeded", first)
			live := c.empty()
			s.get(live, "migrate")
			s.stop()
			s.clear(c.empty())
			s.start()
			if name == "Job with a time to live" {
				s.stays(c.empty(), "it may have run")
				return
			}
			s.healed(c.empty(), live.GetUID())
		})
	}
}

// TestJobThatLookedEnded: a Job that was suspended and waits to try again looks ended; one that is deleted while it runs again
// is healed.
func TestJobThatLookedEnded(t *testing.T) {
	t.Parallel()
	c := runOnce()["Job"]
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Interval.Duration = time.Hour })
	s.render(ks, first, c.object(s, "example.org/a:1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	live := &batchv1.Job{}
	s.get(live, "migrate")
	now := metav1.NewTime(time.Now())
	live.Status = batchv1.JobStatus{StartTime: &now, Failed: 1, Conditions: []batchv1.JobCondition{
		{Type: batchv1.JobSuspended, Status: corev1.ConditionFalse, LastTransitionTime: now, LastProbeTime: now},
	}}
	s.updateStatus(live)
	s.idle(time.Second) // its end is noted
	live.Status.Active = 1
	s.updateStatus(live)
	s.clear(c.empty())
	s.healed(c.empty(), live.GetUID())
}

// TestEndBeforeAWatchListsIt: an end that no watch tells of, because it was there before the first listing, is looked for.
func TestEndBeforeAWatchListsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason         string
		refused        int
		before, listed func(*stack)
	}{
		"between two processes": {"it ended while none ran", 0, func(s *stack) { s.stop() }, func(s *stack) { s.start() }},
		"after the first apply": {
			"its kind was not watched yet", 1000, func(*stack) {}, func(s *stack) { s.refuse.again(0) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := runOnce()["Pod"]
			s := newStack(t)
			s.refuse = &refusal{path: "/api/v1/pods", times: c.refused}
			s.start()
			ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Interval.Duration = time.Hour })
			s.render(ks, first, pod.object(s, "example.org/a:1"))
			s.ready(ks, "True", "ReconciliationSucceeded", first)
			if c.refused == 0 {
				s.idle(time.Second)
			}
			c.before(s)
			live := pod.empty()
			s.get(live, "migrate")
			pod.end(s, live)
			s.requests.take()
			c.listed(s)
			s.eventually("its end is looked for", func() string {
				if slices.Contains(s.requests.take(), "GET pods") {
					return ""
				}
				return "nobody has read it"
			})
			s.idle(time.Second)
			s.clear(pod.empty())
			s.stays(pod.empty(), c.reason)
		})
	}
}

// TestDoneIsMadeAgainOnRequest: who asks for a reconciliation gets what is done once more, as in Flux.
func TestDoneIsMadeAgainOnRequest(t *testing.T) {
	t.Parallel()
	c := runOnce()["Job with a time to live"]
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Wait = true })
	s.render(ks, first, c.object(s, "example.org/a:1"))
	s.ready(ks, "Unknown", "Progressing", "health checks")
	live := c.empty()
	s.get(live, "migrate")
	c.end(s, live)
	s.clear(c.empty())
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.get(ks, "app")
	ks.Annotations = map[string]string{"reconcile.fluxcd.io/requestedAt": "now"}
	if err := s.client.Update(t.Context(), ks); err != nil {
		t.Fatal(err)
	}
	s.render(ks, first, c.object(s, "example.org/a:1"))
	s.healed(c.empty(), live.GetUID())
}
