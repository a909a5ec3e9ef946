package drift_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
)

// The metadata of a Job that is gone tell whether it had finished, although nobody has read its status.
func TestClusterEndOfAJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.watcher.SetKinds(append([]drift.Kind{{GroupVersionKind: batchv1.SchemeGroupVersion.WithKind("Job"), OwnerGroup: group}}, watched...))
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	condition := func(kind batchv1.JobConditionType) batchv1.JobCondition {
		return batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now, LastProbeTime: now}
	}
	for name, c := range map[string]struct {
		reason string
		status batchv1.JobStatus
		want   bool
	}{
		"new":     {reason: "nothing has started"},
		"running": {reason: "a pod is active", status: batchv1.JobStatus{StartTime: &now, Active: 1}},
		"trying again": {
			reason: "a pod has failed, and the next one runs", status: batchv1.JobStatus{StartTime: &now, Active: 1, Failed: 1},
		},
		"succeeded": {
			reason: "it has a time of completion",
			status: batchv1.JobStatus{
				StartTime: &now, CompletionTime: &now, Succeeded: 1,
				Conditions: []batchv1.JobCondition{condition(batchv1.JobSuccessCriteriaMet), condition(batchv1.JobComplete)},
			},
			want: true,
		},
		"failed": {
			reason: "it has no time of completion, and has ended all the same",
			status: batchv1.JobStatus{
				StartTime: &now, Failed: 1,
				Conditions: []batchv1.JobCondition{condition(batchv1.JobFailureTarget), condition(batchv1.JobFailed)},
			},
			want: true,
		},
	} {
		o := f.job(t, name)
		if !cmp.Equal(c.status, batchv1.JobStatus{}) {
			o.Status = c.status
			if err := f.client.Status().Update(t.Context(), o, client.FieldOwner("kube-controller-manager")); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if s := f.next(t); s.Type != drift.StatusChanged || s.Ended != c.want {
				t.Errorf("%s: %s: got %+v for the new status", name, c.reason, s)
			}
		}
		if err := f.client.Delete(t.Context(), o, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			t.Fatal(err)
		}
		if s := f.next(t); s.Type != drift.Gone || s.Ended != c.want || s.Unseen {
			t.Errorf("%s: %s: got %+v, want ended %v", name, c.reason, s, c.want)
		}
	}
}

// job applies a Job, and waits until the watcher has seen it.
func (f *fixture) job(t *testing.T, name string) *batchv1.Job {
	t.Helper()
	set, err := f.applier.Prepare([]rendering.Object{{Object: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"generateName": "job-", "name": "job", "namespace": f.namespace},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"restartPolicy": "Never", "containers": []any{map[string]any{"name": "main", "image": "example.org/a"}},
		}}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.applier.Apply(t.Context(), set, apply.Options{}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for id := range set.Inventory() {
		eventually(t, func() bool {
			_, found := f.watcher.Fingerprint(group, id)
			return found
		})
	}
	o := &batchv1.Job{}
	if err := f.client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "job"}, o); err != nil {
		t.Fatal(err)
	}
	return o
}
