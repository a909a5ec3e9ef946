package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// tenant is a subject of either kind that acts as an account of its own, with objects in its namespace and in another one.
type tenant struct {
	*stack
	kind, elsewhere string
	records         string // the namespace of Helm's storage
}

// subjectKinds are both kinds: what is true of the end of one is true of the other.
var subjectKinds = []string{kustomizev1.KustomizationKind, helmv2.HelmReleaseKind}

// newTenant applies objects for a subject called app: ConfigMap here in its namespace, there in another one.
func newTenant(t *testing.T, kind string, change func(*tenant)) *tenant {
	t.Helper()
	e := &tenant{stack: newStack(t), kind: kind}
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "elsewhere-"}}
	e.create(other)
	e.elsewhere, e.records = other.Name, e.namespace
	e.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "tenant"}})
	for _, namespace := range []string{e.namespace, e.elsewhere} {
		named := metav1.ObjectMeta{Namespace: namespace, Name: "tenant"}
		e.create(&rbacv1.Role{ObjectMeta: named, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}})
		e.create(&rbacv1.RoleBinding{
			ObjectMeta: named, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tenant"},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: e.namespace, Name: "tenant"}},
		})
	}
	if change != nil {
		change(e)
	}
	e.start()
	there := e.configMap("there", "1")
	there.SetNamespace(e.elsewhere)
	e.apply("app", e.configMap("here", "1"), there)
	return e
}

// apply makes the subject, and waits until it is ready.
func (e *tenant) apply(name string, objects ...*unstructured.Unstructured) {
	e.t.Helper()
	if e.kind == kustomizev1.KustomizationKind {
		ks := e.kustomization(name, func(ks *kustomizev1.Kustomization) { ks.Spec.ServiceAccountName = "tenant" })
		e.render(ks, first, objects...)
		e.ready(ks, "True", "ReconciliationSucceeded", first)
		return
	}
	hr := e.helmRelease(name, noWait, func(hr *helmv2.HelmRelease) {
		hr.Spec.ServiceAccountName, hr.Spec.StorageNamespace = "tenant", e.records
	})
	e.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, objects...)
	e.released(hr, "True", "InstallSucceeded", name+".v1")
}

func (e *tenant) subject() client.Object {
	if e.kind == kustomizev1.KustomizationKind {
		return &kustomizev1.Kustomization{}
	}
	return &helmv2.HelmRelease{}
}

// failure is the reason of what is told of a deletion.
func (e *tenant) failure() string {
	if e.kind == kustomizev1.KustomizationKind {
		return "PruneFailed"
	}
	return "UninstallFailed"
}

func (s *stack) create(o client.Object) {
	s.t.Helper()
	if err := s.client.Create(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

// remove deletes an object; one that is gone already is none to be deleted.
func (s *stack) remove(o client.Object, namespace, name string) {
	s.t.Helper()
	o.SetNamespace(namespace)
	o.SetName(name)
	if err := s.client.Delete(s.t.Context(), o); client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
}

// rightless takes the tenant's rights in a namespace.
func (e *tenant) rightless(namespace string) {
	e.t.Helper()
	e.remove(&rbacv1.RoleBinding{}, namespace, "tenant")
}

// ending deletes a namespace. There is nobody who would delete what is in it.
func (s *stack) ending(namespace string) {
	s.t.Helper()
	s.remove(&corev1.Namespace{}, "", namespace)
}

// end deletes a namespace altogether, as its controller does once nothing is in it.
func (s *stack) end(namespace string) {
	s.t.Helper()
	s.ending(namespace)
	ns := &corev1.Namespace{}
	if err := s.client.Get(s.t.Context(), client.ObjectKey{Name: namespace}, ns); err != nil {
		s.t.Fatal(err)
	}
	ns.Spec.Finalizers = nil
	if err := s.client.SubResource("finalize").Update(s.t.Context(), ns); err != nil {
		s.t.Fatal(err)
	}
}

// there says whether a ConfigMap exists.
func (s *stack) there(namespace, name string) bool {
	s.t.Helper()
	err := s.client.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &corev1.ConfigMap{})
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	return err == nil
}

// waits waits until the subject says so of its deletion.
func (e *tenant) waits(parts ...string) {
	e.t.Helper()
	e.eventually("Ready tells of the deletion", func() string {
		o := e.get(e.subject(), "app")
		ready := apimeta.FindStatusCondition(o.(fluxmeta.ObjectWithConditions).GetConditions(), fluxmeta.ReadyCondition)
		for _, part := range append([]string{"deleting: "}, parts...) {
			if ready == nil || ready.Status == "True" || !strings.Contains(ready.Message, part) {
				return fmt.Sprintf("%+v, want %q in it", ready, part)
			}
		}
		if ready.Status == "False" && ready.Reason != e.failure() {
			return "reason " + ready.Reason
		}
		return ""
	})
}

// announces waits until the bus has been told so.
func (s *stack) announces(reason string, parts ...string) {
	s.t.Helper()
	s.eventually("it is announced", func() string {
		var seen []string
		for _, ev := range s.announced.all() {
			if ev.Reason == reason && ev.Severity == "error" && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(ev.Message, p) }) {
				return ""
			}
			seen = append(seen, ev.Reason+": "+ev.Message)
		}
		return fmt.Sprintf("%s with %q is not among %q", reason, parts, seen)
	})
}

// TestLeaving: whatever a finalizer needs may be gone before the subject. It goes all the same, and what stays is named.
func TestLeaving(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		change func(*tenant)
		// gone takes away what the finalizer needs, before the subject is deleted.
		gone func(*tenant)
		// waits is what the Ready condition says then, if the subject is tried for a while; mended, or time, lets it go.
		waits  []string
		mended func(*tenant)
		// stays are the ConfigMaps that stay, and that an event names.
		stays []string
	}{
		"Nothing": {reason: "everything is there", gone: func(*tenant) {}},
		"Account": {
			reason: "nobody may act for the subject any more",
			gone:   func(e *tenant) { e.remove(&corev1.ServiceAccount{}, e.namespace, "tenant") },
			stays:  []string{"here", "there"},
		},
		"AccountAndRights": {
			reason: "in whichever order they go",
			gone: func(e *tenant) {
				e.rightless(e.namespace)
				e.remove(&rbacv1.Role{}, e.namespace, "tenant")
				e.remove(&corev1.ServiceAccount{}, e.namespace, "tenant")
			},
			stays: []string{"here", "there"},
		},
		"RoleBinding": {
			reason: "rights may be being rewritten, and then not",
			gone:   func(e *tenant) { e.rightless(e.namespace) },
			waits:  []string{"gives up at ", "orbidden"}, stays: []string{"here"},
		},
		"Role": {
			reason: "a binding to a Role that is gone grants nothing",
			gone:   func(e *tenant) { e.remove(&rbacv1.Role{}, e.namespace, "tenant") },
			waits:  []string{"gives up at ", "orbidden"}, stays: []string{"here"},
		},
		"RoleBindingForAWhile": {
			reason: "rights were being rewritten",
			gone:   func(e *tenant) { e.rightless(e.namespace) },
			waits:  []string{"gives up at "},
			mended: func(e *tenant) {
				e.create(&rbacv1.RoleBinding{
					ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "tenant"},
					RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tenant"},
					Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: e.namespace, Name: "tenant"}},
				})
			},
		},
		"AccountWhileItWaits": {
			reason: "what was being rewritten is gone for good",
			gone:   func(e *tenant) { e.rightless(e.namespace) },
			waits:  []string{"gives up at "},
			mended: func(e *tenant) { e.remove(&corev1.ServiceAccount{}, e.namespace, "tenant") },
			stays:  []string{"here"},
		},
		"Storage": {
			reason: "Helm's records are deleted by hand, or with their namespace",
			gone:   func(e *tenant) { e.remove(&corev1.Secret{}, e.namespace, "sh.helm.release.v1.app.v1") },
		},
		"SourceChartAndRender": {
			reason: "no deletion waits for what is made from a source",
			gone: func(e *tenant) {
				e.remove(&sourcev1.HelmChart{}, e.namespace, e.namespace+"-app")
				e.remove(&v1alpha1.Render{}, e.namespace, v1alpha1.RecordName(e.kind, "app"))
				e.remove(&v1alpha1.Sync{}, e.namespace, v1alpha1.RecordName(e.kind, "app"))
				e.server.Close()
			},
		},
		"TargetNamespace": {
			reason: "what was in it is gone, and the rights in it too",
			gone: func(e *tenant) {
				e.rightless(e.elsewhere)
				e.remove(&corev1.ConfigMap{}, e.elsewhere, "there")
				e.end(e.elsewhere)
			},
		},
		"TargetNamespaceTerminating": {
			reason: "what is in it goes with it, although nobody may touch it any more",
			gone:   func(e *tenant) { e.rightless(e.elsewhere); e.ending(e.elsewhere) },
		},
		"StorageNamespaceTerminating": {
			reason: "the records go with it",
			change: func(e *tenant) { e.records = e.elsewhere },
			gone:   func(e *tenant) { e.rightless(e.elsewhere); e.ending(e.elsewhere) },
		},
		"Namespace": {
			reason: "what is in it goes with it; the rest is deleted as long as that may be",
			gone:   func(e *tenant) { e.ending(e.namespace) },
		},
		"NamespaceAndRights": {
			reason: "in a namespace that is going nobody mends rights: what stays elsewhere is told at once",
			gone:   func(e *tenant) { e.ending(e.namespace); e.rightless(e.namespace); e.rightless(e.elsewhere) },
			stays:  []string{"there"},
		},
		"NamespaceAndAccount": {
			reason: "what is in the namespace needs no telling",
			gone:   func(e *tenant) { e.ending(e.namespace); e.remove(&corev1.ServiceAccount{}, e.namespace, "tenant") },
			stays:  []string{"there"},
		},
		"AdmissionForAWhile": {
			reason: "whoever wrote the rule has to change it, as in Flux",
			gone:   func(e *tenant) { e.deny(e.namespace, "here") },
			waits:  []string{"ConfigMap/", "/here", "not to be deleted"},
			mended: func(e *tenant) { e.allow() },
		},
		"NamespaceAndAdmission": {
			reason: "a rule elsewhere holds no namespace for ever",
			gone:   func(e *tenant) { e.deny(e.elsewhere, "there"); e.ending(e.namespace) },
			waits:  []string{"gives up at ", "/there", "not to be deleted"}, stays: []string{"there"},
		},
		"Definition": {
			reason: "the kind is gone, and its objects with it",
			change: func(e *tenant) { e.define() },
			gone: func(e *tenant) {
				e.remove(e.definition("Widget", "widgets", nil), "", "widgets."+e.group())
				e.eventually("the kind is not served", func() string {
					w := e.custom("Widget", "custom")
					if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(w), w); !apierrors.IsNotFound(err) {
						return fmt.Sprint(err)
					}
					return ""
				})
			},
		},
	} {
		for _, kind := range subjectKinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				e := newTenant(t, kind, tc.change)
				if name == "Definition" {
					e.apply("widgets", e.custom("Widget", "custom"))
				}
				e.settled()
				tc.gone(e)
				started := time.Now()
				e.remove(e.subject(), e.namespace, "app")
				if name == "Definition" {
					e.remove(e.subject(), e.namespace, "widgets")
				}
				if tc.waits != nil {
					e.waits(tc.waits...)
				}
				switch {
				case tc.mended != nil:
					tc.mended(e)
				case tc.waits != nil:
					e.later(plan.DeletionGrace)
				}
				e.gone(e.subject(), "app")
				if name == "Definition" {
					e.gone(e.subject(), "widgets")
				}
				if took := time.Since(started); took > 20*time.Second {
					t.Errorf("%s: it took %s", tc.reason, took)
				}
				if tc.stays != nil {
					e.announces(e.failure(), tc.stays...)
				}
				e.checkStays(tc.reason, tc.stays)
				if slices.Contains(e.requests.take(), "POST events") && strings.HasPrefix(name, "Namespace") {
					t.Error("an Event was made where none can be")
				}
			})
		}
	}
}

// settled waits for the Event of the apply, which comes behind it, and forgets the requests until then.
func (e *tenant) settled() {
	e.t.Helper()
	e.eventually("the apply is told", func() string {
		if e.kind == kustomizev1.KustomizationKind {
			return e.event("Progressing", "created")
		}
		return e.event("InstallSucceeded", "")
	})
	e.requests.take()
}

// checkStays complains about ConfigMaps that stay and should not, or the other way round. What is in a namespace that is
// going counts for nothing: here nobody empties it.
func (e *tenant) checkStays(reason string, stays []string) {
	e.t.Helper()
	for name, namespace := range map[string]string{"here": e.namespace, "there": e.elsewhere} {
		ns := &corev1.Namespace{}
		err := e.client.Get(e.t.Context(), client.ObjectKey{Name: namespace}, ns)
		if err != nil || ns.DeletionTimestamp != nil {
			continue
		}
		if want := slices.Contains(stays, name); e.there(namespace, name) != want {
			e.t.Errorf("%s: %s exists: %v, want %v", reason, name, !want, want)
		}
	}
}

// deny has admission refuse the deletion of one ConfigMap.
func (e *tenant) deny(namespace, name string) {
	e.t.Helper()
	named := metav1.ObjectMeta{Name: e.namespace}
	e.create(&admissionv1.ValidatingAdmissionPolicy{ObjectMeta: named, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{"DELETE"},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
		}}}},
		Validations: []admissionv1.Validation{{
			Expression: fmt.Sprintf("request.namespace != %q || request.name != %q", namespace, name), Message: "not to be deleted",
		}},
	}})
	e.create(&admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: named, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: e.namespace, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}})
	e.t.Cleanup(e.allow)
	e.eventually("the policy holds", func() string {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if err := e.client.Delete(e.t.Context(), cm, client.DryRunAll); err == nil {
			return "it does not yet"
		}
		return ""
	})
}

// allow takes the rule back.
func (e *tenant) allow() {
	for _, o := range []client.Object{&admissionv1.ValidatingAdmissionPolicyBinding{}, &admissionv1.ValidatingAdmissionPolicy{}} {
		o.SetName(e.namespace)
		if err := e.client.Delete(e.t.Context(), o); client.IgnoreNotFound(err) != nil && e.t.Context().Err() == nil {
			e.t.Error(err)
		}
	}
}

func (e *tenant) define() {
	e.t.Helper()
	e.create(e.definition("Widget", "widgets", nil))
	e.eventually("the kind is served", func() string {
		w := e.custom("Widget", "custom")
		if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(w), w); !apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
			return fmt.Sprint(err)
		}
		return ""
	})
}

// TestNamespaceLeaves: what kubectl delete namespace does, in orders that nobody chooses. Nothing in the namespace holds it, no
// clock has to advance for that.
func TestNamespaceLeaves(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		for _, kind := range subjectKinds {
			t.Run(fmt.Sprintf("%d/%s", seed, kind), func(t *testing.T) {
				t.Parallel()
				e := newTenant(t, kind, nil)
				e.ending(e.namespace)
				leaving := []client.Object{
					&corev1.ServiceAccount{}, &rbacv1.Role{}, &rbacv1.RoleBinding{}, &corev1.Secret{}, &corev1.ConfigMap{}, &v1alpha1.Render{},
					&v1alpha1.Sync{}, e.subject(),
				}
				rand.New(rand.NewPCG(seed, seed)).Shuffle(len(leaving), func(i, j int) { leaving[i], leaving[j] = leaving[j], leaving[i] })
				for _, o := range leaving {
					if err := e.client.DeleteAllOf(t.Context(), o, client.InNamespace(e.namespace)); err != nil {
						t.Fatal(err)
					}
				}
				started := time.Now()
				e.gone(e.subject(), "app")
				if took := time.Since(started); took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
				if e.there(e.elsewhere, "there") {
					e.announces(e.failure(), "there")
				}
			})
		}
	}
}
