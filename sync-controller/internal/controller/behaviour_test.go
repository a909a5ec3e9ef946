package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// finish gives a Deployment the status of a complete rollout.
func (s *stack) finish(name string) {
	s.t.Helper()
	d := &appsv1.Deployment{}
	s.get(d, name)
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: "True"},
			{Type: appsv1.DeploymentProgressing, Status: "True", Reason: "NewReplicaSetAvailable"},
		},
	}
	if err := s.client.Status().Update(s.t.Context(), d); err != nil {
		s.t.Fatal(err)
	}
}

// setImage changes the image of a deployment's container.
func setImage(o map[string]any, image string) error {
	containers := []any{map[string]any{"name": "main", "image": image}}
	return unstructured.SetNestedSlice(o, containers, "spec", "template", "spec", "containers")
}

// hang gives it the status of a rollout that hangs.
func (s *stack) hang(name string) {
	s.t.Helper()
	d := &appsv1.Deployment{}
	s.get(d, name)
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, UnavailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentProgressing, Status: "False", Reason: "ProgressDeadlineExceeded", Message: "too slow"},
		},
	}
	if err := s.client.Status().Update(s.t.Context(), d); err != nil {
		s.t.Fatal(err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Wait = true })
	s.render(ks, first, s.deployment("web"), s.configMap("one", "1"))
	s.ready(ks, "Unknown", "Progressing", "health checks")
	s.hang("web")
	s.ready(ks, "False", "HealthCheckFailed", "Deployment/"+s.namespace+"/web")
	if c := apimeta.FindStatusCondition(ks.Status.Conditions, "Healthy"); c == nil || c.Status != "False" {
		t.Errorf("Healthy: %+v", c)
	}
	if ks.Status.LastAppliedRevision != "" || ks.Status.LastAttemptedRevision != first {
		t.Errorf("applied %q, attempted %q", ks.Status.LastAppliedRevision, ks.Status.LastAttemptedRevision)
	}
	s.finish("web")
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.eventually("the record says so", func() string {
		r := &v1alpha1.Sync{}
		s.get(r, "kustomization-app")
		if r.Health.State != v1alpha1.HealthHealthy || r.Health.Summary != "1/1" {
			return fmt.Sprintf("%+v", r.Health)
		}
		return ""
	})

	// A new revision supersedes a waiting one.
	web := s.deployment("web")
	web.SetAnnotations(map[string]string{"v": "2"})
	if err := setImage(web.Object, "example.org/app:2"); err != nil {
		t.Fatal(err)
	}
	s.render(ks, second, web)
	s.ready(ks, "Unknown", "Progressing", second)
	s.render(ks, third, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", third)
	s.gone(&appsv1.Deployment{}, "web")
}

func TestDependsOn(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	db := s.kustomization("db")
	app := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "db"}}
	})
	s.render(app, first, s.configMap("app", "1"))
	s.ready(app, "False", "DependencyNotReady", "db")
	s.render(db, first, s.configMap("db", "1"))
	s.ready(db, "True", "ReconciliationSucceeded", first)
	s.eventually("the dependent follows, long before it would look by itself", func() string {
		s.get(app, "app")
		if app.Status.LastAppliedRevision != first {
			return "it does not"
		}
		return ""
	})

	// The same source at another revision: first the dependency.
	s.render(app, second, s.configMap("app", "2"))
	s.rest(500 * time.Millisecond)
	if complaint := s.value("app", "1"); complaint != "" {
		t.Errorf("applied before its dependency: %s", complaint)
	}
	s.render(db, second, s.configMap("db", "2"))
	s.ready(app, "True", "ReconciliationSucceeded", second)
}

func TestReadyExpr(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	s.kustomization("db")
	app := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "db", ReadyExpr: "dep.metadata.name == 'db' && self.metadata.name == 'app'"}}
	})
	s.render(app, first, s.configMap("app", "1"))
	s.ready(app, "True", "ReconciliationSucceeded", first)
	broken := s.kustomization("broken", func(ks *kustomizev1.Kustomization) {
		ks.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "db", ReadyExpr: "dep..x"}}
	})
	s.ready(broken, "False", "InvalidCELExpression", "spec.dependsOn[0].readyExpr")
}

// TestMovedObject: an object that goes from one Kustomization to another of the same source is never deleted.
func TestMovedObject(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	a, b := s.kustomization("a"), s.kustomization("b")
	s.render(a, first, s.configMap("shared", "1"), s.configMap("a", "1"))
	s.render(b, first, s.configMap("b", "1"))
	s.ready(a, "True", "ReconciliationSucceeded", first)
	s.ready(b, "True", "ReconciliationSucceeded", first)
	cm := &corev1.ConfigMap{}
	s.get(cm, "shared")
	uid := cm.UID

	s.render(a, second, s.configMap("a", "1"))
	s.ready(a, "Unknown", "Progressing", "Kustomization/"+s.namespace+"/b")
	s.stop()
	s.start()
	s.rest(time.Second)
	s.get(&corev1.ConfigMap{}, "a")
	s.render(b, second, s.configMap("b", "1"), s.configMap("shared", "1"))
	s.ready(a, "True", "ReconciliationSucceeded", second)
	s.ready(b, "True", "ReconciliationSucceeded", second)
	s.get(cm, "shared")
	if cm.UID != uid || cm.Labels["kustomize.toolkit.fluxcd.io/name"] != "b" {
		t.Errorf("uid %s, was %s; labels %v", cm.UID, uid, cm.Labels)
	}
}

func TestRenderFailureIsMirrored(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)

	s.request(ks, "now")
	r := s.unrendered("Kustomization", ks, second)
	apimeta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: "Ready", Status: "False", Reason: "BuildFailed", Message: "deploy.yaml: bad"})
	s.record(r)
	s.ready(ks, "False", "BuildFailed", "deploy.yaml: bad")
	if ks.Status.LastHandledReconcileAt != "now" || ks.Status.LastAppliedRevision != first || ks.Status.LastAttemptedRevision != second {
		t.Errorf("status: %+v", ks.Status)
	}
	s.tamper("one", "foreign")
	s.eventually("the last content is healed", func() string { return s.value("one", "1") })

	// The very content that is applied comes back.
	s.render(ks, third, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", third)
}

// request asks for a reconciliation as the flux CLI does.
func (s *stack) request(ks *kustomizev1.Kustomization, token string) {
	s.t.Helper()
	s.get(ks, ks.Name)
	base := ks.DeepCopy()
	if ks.Annotations == nil {
		ks.Annotations = make(map[string]string)
	}
	ks.Annotations[meta.ReconcileRequestAnnotation] = token
	if err := s.client.Patch(s.t.Context(), ks, client.MergeFrom(base)); err != nil {
		s.t.Fatal(err)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.request(ks, "now")
	s.rest(time.Second)
	s.get(ks, "app")
	if ks.Status.LastHandledReconcileAt != "" {
		t.Fatal("a token was answered that render-controller has not seen")
	}
	s.requests.take()
	s.render(ks, first, s.configMap("one", "1"))
	s.eventually("the token is answered", func() string {
		s.get(ks, "app")
		if ks.Status.LastHandledReconcileAt != "now" {
			return "it is not"
		}
		return ""
	})
	if seen := s.requests.take(); !slices.Contains(seen, "PATCH configmaps dry-run") {
		t.Errorf("a request compares every object; seen: %v", seen)
	}
}

func TestSuspend(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Suspend = true })
	s.render(ks, first, s.configMap("one", "1"))
	s.request(ks, "now")
	s.eventually("the token is answered", func() string {
		s.get(ks, "app")
		if ks.Status.LastHandledReconcileAt != "now" {
			return "it is not"
		}
		return ""
	})
	s.gone(&corev1.ConfigMap{}, "one")
}

func TestDeletion(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		change func(*kustomizev1.Kustomization)
		stays  bool
	}{
		"prune":    {"what was applied goes too", func(*kustomizev1.Kustomization) {}, false},
		"no prune": {"prune says no", func(ks *kustomizev1.Kustomization) { ks.Spec.Prune = false }, true},
		"orphan":   {"the policy says no", func(ks *kustomizev1.Kustomization) { ks.Spec.DeletionPolicy = "Orphan" }, true},
		"delete":   {"the policy wins over prune", func(ks *kustomizev1.Kustomization) { ks.Spec.Prune = false; ks.Spec.DeletionPolicy = "Delete" }, false},
		"wait":     {"objects are waited for", func(ks *kustomizev1.Kustomization) { ks.Spec.DeletionPolicy = "WaitForTermination" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t).start()
			ks := s.kustomization("app", tc.change)
			s.render(ks, first, s.configMap("one", "1"))
			s.ready(ks, "True", "ReconciliationSucceeded", first)
			s.delete(&v1alpha1.Render{}, "kustomization-app")
			s.delete(ks, "app")
			s.gone(&kustomizev1.Kustomization{}, "app")
			if tc.stays {
				s.get(&corev1.ConfigMap{}, "one")
				return
			}
			s.gone(&corev1.ConfigMap{}, "one")
		})
	}
}

// TestRecreated: a subject of the same name is another subject.
func TestRecreated(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.DeletionPolicy = "Orphan" })
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.stop()
	s.delete(ks, "app")
	s.get(ks, "app")
	ks.Finalizers = nil
	if err := s.client.Update(t.Context(), ks); err != nil {
		t.Fatal(err)
	}
	s.gone(&kustomizev1.Kustomization{}, "app")
	ks = s.kustomization("app")
	s.start()
	s.rest(time.Second)
	s.get(ks, "app")
	if ks.Status.LastAppliedRevision != "" {
		t.Errorf("the record of the one before was taken for its own: %+v", ks.Status)
	}
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "x"}}
	})
	s.ready(ks, "False", "InvalidSpec", "spec.kubeConfig")
	if c := apimeta.FindStatusCondition(ks.Status.Conditions, "Stalled"); c == nil || ks.Status.ObservedGeneration != ks.Generation {
		t.Errorf("status: %+v", ks.Status)
	}
}

func TestFluxInRepository(t *testing.T) {
	s := newStack(t)
	s.allowFlux = false
	s.start()
	flux := s.deployment("kustomize-controller")
	flux.SetLabels(map[string]string{"app.kubernetes.io/part-of": "flux"})
	if err := setImage(flux.Object, "ghcr.io/fluxcd/kustomize-controller:v1.9.4"); err != nil {
		t.Fatal(err)
	}
	ks := s.kustomization("app")
	s.render(ks, first, flux, s.configMap("one", "1"))
	s.ready(ks, "False", "FluxRunning", "--allow-flux")
	s.gone(&corev1.ConfigMap{}, "one")
	s.render(ks, second, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", second)
}

func TestFluxInCluster(t *testing.T) {
	s := newStack(t)
	s.allowFlux = false
	flux := s.deployment("helm-controller")
	flux.SetLabels(map[string]string{"app.kubernetes.io/part-of": "flux"})
	if err := setImage(flux.Object, "ghcr.io/fluxcd/helm-controller:v1.6.4"); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Create(t.Context(), flux); err != nil {
		t.Fatal(err)
	}
	s.finish("helm-controller")
	s.start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "False", "FluxRunning", "Deployment/"+s.namespace+"/helm-controller")
	s.delete(&appsv1.Deployment{}, "helm-controller")
	s.ready(ks, "True", "ReconciliationSucceeded", first)
}

func TestImpersonation(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.ServiceAccountName = "tenant"
		ks.Spec.RetryInterval = &metav1.Duration{Duration: time.Second}
	})
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "False", "ReconciliationFailed", "forbidden")
	user := "system:serviceaccount:" + s.namespace + ":tenant"
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "tenant"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "tenant"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tenant"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.namespace, Name: "tenant"}},
	}
	for _, o := range []client.Object{role, binding, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "tenant"}}} {
		if err := s.client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.render(ks, second, s.configMap("two", "2"))
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	s.gone(&corev1.ConfigMap{}, "one")
	for _, line := range s.requests.take() {
		if strings.Contains(line, "configmaps") && !strings.HasSuffix(line, " as "+user) {
			t.Errorf("not as the service account: %s", line)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Annotations = map[string]string{"event.toolkit.fluxcd.io/team": "red"}
	})
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.render(ks, second, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	s.eventually("one commit status per revision, and one change", func() string {
		var statuses, changes []string
		for _, ev := range s.announced.all() {
			revision := ev.Metadata["kustomize.toolkit.fluxcd.io/revision"]
			if ev.Metadata["event.toolkit.fluxcd.io/team"] != "red" || ev.InvolvedObject.UID != ks.UID {
				return fmt.Sprintf("%+v", ev)
			}
			if ev.Metadata["kustomize.toolkit.fluxcd.io/commit_status"] == "update" {
				statuses = append(statuses, revision)
			} else {
				changes = append(changes, revision+" "+ev.Message)
			}
		}
		slices.Sort(statuses)
		if !slices.Equal(statuses, []string{first, second}) || len(changes) != 1 || !strings.Contains(changes[0], "/one created") {
			return fmt.Sprintf("statuses %v, changes %v", statuses, changes)
		}
		return ""
	})
}
