package controller

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// helmRelease creates one of a chart in Git.
func (s *stack) helmRelease(name string, change ...func(*helmv2.HelmRelease)) *helmv2.HelmRelease {
	s.t.Helper()
	hr := &helmv2.HelmRelease{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: map[string]string{"test": s.namespace}},
		Spec: helmv2.HelmReleaseSpec{
			Interval: metav1.Duration{Duration: time.Hour},
			Chart: &helmv2.HelmChartTemplate{Spec: helmv2.HelmChartTemplateSpec{
				Chart: "./charts/app", SourceRef: helmv2.CrossNamespaceObjectReference{Kind: "GitRepository", Name: "repo"},
			}},
		},
	}
	for _, f := range change {
		f(hr)
	}
	if err := s.client.Create(s.t.Context(), hr); err != nil {
		s.t.Fatal(err)
	}
	return hr
}

// release is what render-controller makes of a chart: the objects, and the release as Helm records it.
func (s *stack) release(hr *helmv2.HelmRelease, values map[string]any, parameters v1alpha1.ReleaseParameters, objects ...*unstructured.Unstructured) {
	s.t.Helper()
	source := v1alpha1.Source{Kind: sourcev1.HelmChartKind, Namespace: s.namespace, Name: hr.GetHelmChartName(), Revision: "1.0.0"}
	s.releaseFrom(source, "1.0.0", hr, values, parameters, objects...)
}

// releaseFrom is the same of a chart of that version from any source.
func (s *stack) releaseFrom(source v1alpha1.Source, version string, hr *helmv2.HelmRelease, values map[string]any,
	parameters v1alpha1.ReleaseParameters, objects ...*unstructured.Unstructured,
) {
	s.t.Helper()
	var manifest strings.Builder
	content := rendering.Content{}
	for _, o := range objects {
		text, err := json.Marshal(o.Object)
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&manifest, "---\n%s\n", text)
		content.Objects = append(content.Objects, rendering.Object{Object: o})
	}
	record, err := json.Marshal(map[string]any{
		"name": hr.GetReleaseName(), "namespace": hr.GetReleaseNamespace(), "config": values, "manifest": manifest.String(),
		"chart": map[string]any{"metadata": map[string]any{"name": "app", "version": version, "appVersion": "9", "apiVersion": "v2"}},
		"info":  map[string]any{"notes": "hello"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	content.Release = record
	config, err := json.Marshal(values)
	if err != nil {
		s.t.Fatal(err)
	}
	tag := rendering.TagBytes(contentKey(), []byte(hr.Name), config, []byte(version)) // by its inputs, whatever the parameters
	r := s.sealed(helmv2.HelmReleaseKind, hr, source.Revision, tag, content)
	r.Source, r.Rendering.Version = source, version
	r.Release = &parameters
	s.record(r)
}

// released waits for a Ready condition of a HelmRelease.
func (s *stack) released(hr *helmv2.HelmRelease, status metav1.ConditionStatus, reason, message string) {
	s.t.Helper()
	s.eventually("Ready of "+hr.Name, func() string {
		fresh := &helmv2.HelmRelease{}
		s.get(fresh, hr.Name)
		*hr = *fresh
		c := apimeta.FindStatusCondition(hr.Status.Conditions, meta.ReadyCondition)
		if c == nil {
			return "there is no Ready condition"
		}
		if c.Status != status || c.Reason != reason || !strings.Contains(c.Message, message) {
			return fmt.Sprintf("Ready is %s %s %q, want %s %s %q", c.Status, c.Reason, c.Message, status, reason, message)
		}
		return ""
	})
}

// storageStatus complains if Helm's record of that version does not have the status.
func (s *stack) storageStatus(name string, version int, status string) string {
	secret := &corev1.Secret{}
	key := s.name(fmt.Sprintf("sh.helm.release.v1.%s.v%d", name, version))
	if err := s.client.Get(s.t.Context(), key, secret); err != nil {
		return err.Error()
	}
	if got := secret.Labels["status"]; got != status {
		return fmt.Sprintf("version %d is %s, want %s", version, got, status)
	}
	return ""
}

func (s *stack) next(name string, want v1alpha1.ReleaseParameters) {
	s.t.Helper()
	s.eventually("the next release is asked for", func() string {
		r := &v1alpha1.Sync{}
		if err := s.client.Get(s.t.Context(), s.name("helmrelease-"+name), r); err != nil {
			return err.Error()
		}
		if r.Release == nil || r.Release.Next != want {
			return fmt.Sprintf("%+v", r.Release)
		}
		return ""
	})
}

func TestHelmRelease(t *testing.T) {
	t.Parallel()
	install, upgrade := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, v1alpha1.ReleaseParameters{Revision: 2}
	s := newStack(t).start()
	hr := s.helmRelease("app")
	s.release(hr, map[string]any{"a": 1}, install, s.deployment("web"), s.configMap("one", "1"))
	s.released(hr, "Unknown", "Progressing", "health checks")
	if complaint := s.storageStatus("app", 1, "pending-install"); complaint != "" {
		t.Error(complaint)
	}
	s.finish("web")
	s.released(hr, "True", "InstallSucceeded", "Helm install succeeded for release "+s.namespace+"/app.v1 with chart app@1.0.0")
	if complaint := s.storageStatus("app", 1, "deployed"); complaint != "" {
		t.Error(complaint)
	}
	st := hr.Status
	if len(st.History) != 1 || st.History[0].Status != "deployed" || st.StorageNamespace != s.namespace ||
		st.HelmChart != s.namespace+"/"+s.namespace+"-app" || st.LastAttemptedRevision != "1.0.0" || len(st.Inventory.Entries) != 2 {
		t.Errorf("status: %+v", st)
	}
	if c := apimeta.FindStatusCondition(st.Conditions, "Released"); c == nil || c.Status != "True" || c.Reason != "InstallSucceeded" {
		t.Errorf("Released: %+v", c)
	}
	s.next("app", upgrade)

	// Values changed: first rendered for another revision than comes next, then for the right one.
	s.release(hr, map[string]any{"a": 2}, install, s.deployment("web"), s.configMap("two", "2"))
	s.rest(time.Second)
	s.gone(&corev1.ConfigMap{}, "two")
	s.release(hr, map[string]any{"a": 2}, upgrade, s.deployment("web"), s.configMap("two", "2"))
	s.released(hr, "True", "UpgradeSucceeded", "app.v2 with chart app@1.0.0")
	s.gone(&corev1.ConfigMap{}, "one")
	for version, status := range map[int]string{1: "superseded", 2: "deployed"} {
		if complaint := s.storageStatus("app", version, status); complaint != "" {
			t.Error(complaint)
		}
	}

	chart := &sourcev1.HelmChart{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: hr.GetHelmChartName(),
			Labels: map[string]string{"helm.toolkit.fluxcd.io/name": "app", "helm.toolkit.fluxcd.io/namespace": s.namespace},
		},
		Spec: sourcev1.HelmChartSpec{
			Chart: "./charts/app", Interval: metav1.Duration{Duration: time.Hour},
			SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: "GitRepository", Name: "repo"},
		},
	}
	if err := s.client.Create(t.Context(), chart); err != nil {
		t.Fatal(err)
	}
	s.delete(&helmv2.HelmRelease{}, "app")
	s.gone(&helmv2.HelmRelease{}, "app")
	s.gone(&appsv1.Deployment{}, "web")
	s.gone(&corev1.Secret{}, "sh.helm.release.v1.app.v2")
	s.gone(&sourcev1.HelmChart{}, chart.Name)
}

func TestHelmReleaseFails(t *testing.T) {
	t.Parallel()
	install := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}
	s := newStack(t).start()
	hr := s.helmRelease("app")
	s.release(hr, map[string]any{"a": 1}, install, s.deployment("web"))
	s.released(hr, "Unknown", "Progressing", "health checks")
	s.hang("web")
	s.released(hr, "False", "InstallFailed", "Deployment/"+s.namespace+"/web")
	if complaint := s.storageStatus("app", 1, "failed"); complaint != "" {
		t.Error(complaint)
	}
	if c := apimeta.FindStatusCondition(hr.Status.Conditions, "Stalled"); c == nil || hr.Status.InstallFailures != 1 {
		t.Errorf("status: %+v", hr.Status)
	}

	// Drift detection is off: what others change stays as it is.
	hr = s.helmRelease("quiet", func(hr *helmv2.HelmRelease) { hr.Spec.Install = &helmv2.Install{DisableWait: true} })
	s.release(hr, nil, install, s.configMap("one", "1"))
	s.released(hr, "True", "InstallSucceeded", "quiet.v1")
	s.tamper("one", "foreign")
	s.rest(time.Second)
	if complaint := s.value("one", "foreign"); complaint != "" {
		t.Error(complaint)
	}

	// On, it is corrected.
	hr = s.helmRelease("strict", func(hr *helmv2.HelmRelease) {
		hr.Spec.Install = &helmv2.Install{DisableWait: true}
		hr.Spec.DriftDetection = &helmv2.DriftDetection{Mode: helmv2.DriftDetectionEnabled}
	})
	s.release(hr, nil, install, s.configMap("two", "2"))
	s.released(hr, "True", "InstallSucceeded", "strict.v1")
	s.tamper("two", "foreign")
	s.eventually("drift is corrected", func() string { return s.value("two", "2") })
}

func TestHelmReleaseUnsupported(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.helmRelease("app", func(hr *helmv2.HelmRelease) { hr.Spec.Test = &helmv2.Test{Enable: true} })
	s.released(hr, "False", "InvalidSpec", "spec.test.enable")
}

// TestHelmReleaseRestart: a new process goes on with its own release, and a superseding content unlocks it first.
func TestHelmReleaseRestart(t *testing.T) {
	t.Parallel()
	install := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}
	s := newStack(t).start()
	hr := s.helmRelease("app")
	s.release(hr, map[string]any{"a": 1}, install, s.deployment("web"))
	s.released(hr, "Unknown", "Progressing", "health checks")
	s.stop()
	s.start()
	s.rest(time.Second)
	s.finish("web")
	s.released(hr, "True", "InstallSucceeded", "app.v1")

	hr = s.helmRelease("other")
	s.release(hr, map[string]any{"a": 1}, install, s.deployment("slow"))
	s.released(hr, "Unknown", "Progressing", "health checks")
	s.release(hr, map[string]any{"a": 2}, install, s.configMap("one", "1"))
	s.next("other", v1alpha1.ReleaseParameters{Revision: 2})
	s.release(hr, map[string]any{"a": 2}, v1alpha1.ReleaseParameters{Revision: 2}, s.configMap("one", "1"))
	s.released(hr, "True", "UpgradeSucceeded", "other.v2")
	s.gone(&appsv1.Deployment{}, "slow")
	for version, status := range map[int]string{1: "failed", 2: "deployed"} {
		if complaint := s.storageStatus("other", version, status); complaint != "" {
			t.Error(complaint)
		}
	}
}
