package controller_test

import (
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

const helmRelease = "HelmRelease"

// chart is a chart's archive by path.
func chart(version string) map[string]string {
	return map[string]string{
		"web/Chart.yaml":  "apiVersion: v2\nname: web\nversion: " + version + "\n",
		"web/values.yaml": "color: blue\n",
		"web/templates/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n" +
			"data:\n  color: {{ .Values.color }}\n  revision: \"{{ .Release.Revision }}\"\n",
	}
}

// release creates a HelmRelease whose chart is in the world's source.
func (w *world) release(change func(*helmv2.HelmRelease)) *helmv2.HelmRelease {
	w.t.Helper()
	hr := &helmv2.HelmRelease{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"},
		Spec: helmv2.HelmReleaseSpec{
			Interval: metav1.Duration{Duration: time.Hour},
			Chart: &helmv2.HelmChartTemplate{Spec: helmv2.HelmChartTemplateSpec{
				Chart: "./web", SourceRef: helmv2.CrossNamespaceObjectReference{Kind: "GitRepository", Name: "app"},
			}},
			Values: &apiextensionsv1.JSON{Raw: []byte(`{"color":"red"}`)},
		},
	}
	if change != nil {
		change(hr)
	}
	must(w.t, cluster.client.Create(w.t.Context(), hr))
	return hr
}

// packaged does what source-controller does with the HelmChart of a release.
func (w *world) packaged(hr *helmv2.HelmRelease, version string) *sourcev1.HelmChart {
	w.t.Helper()
	made := w.helmChart(hr)
	w.announceChart(made, w.artifacts.put(version, pack(w.t, chart(version))))
	return made
}

// helmChart returns the HelmChart of a release once it is there.
func (w *world) helmChart(hr *helmv2.HelmRelease) *sourcev1.HelmChart {
	w.t.Helper()
	made := &sourcev1.HelmChart{}
	eventually(w.t, func() (bool, string) {
		err := cluster.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: hr.GetHelmChartName()}, made)
		if err != nil && !apierrors.IsNotFound(err) {
			w.t.Fatal(err)
		}
		return err == nil, "there is no HelmChart"
	})
	return made
}

func (w *world) announceChart(made *sourcev1.HelmChart, artifact *meta.Artifact) {
	w.t.Helper()
	made.Status.Artifact, made.Status.ObservedGeneration = artifact, made.Generation
	must(w.t, cluster.client.Status().Update(w.t.Context(), made))
}

func TestRendersARelease(t *testing.T) {
	identities := publishRecipients(t)
	w := newWorld(t)
	hr := w.release(nil)
	w.render(hr, helmRelease, waitsWith("SourceNotReady", "HelmChart", hr.GetHelmChartName()))
	made := w.packaged(hr, "1.0.0")
	if spec := made.Spec; spec.Chart != "./web" || spec.SourceRef.Name != "app" || spec.Interval.Duration != time.Hour || spec.ReconcileStrategy != "ChartVersion" {
		t.Errorf("the HelmChart asks for %+v", spec)
	}
	record := w.render(hr, helmRelease, isReady)
	if record.Source.Kind != "HelmChart" || record.Source.Revision != "1.0.0" || record.Source.UID != made.UID ||
		record.Release == nil || *record.Release != (v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}) {
		t.Errorf("source %+v, release %+v", record.Source, record.Release)
	}
	content := open(t, record, identities)
	color, _, _ := nested(content, 0, "data", "color")
	if revision, _, _ := nested(content, 0, "data", "revision"); color != "red" || revision != "1" || len(content.Release) == 0 {
		t.Errorf("color %q, revision %q, release of %d bytes", color, revision, len(content.Release))
	}

	sync := &v1alpha1.Sync{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: record.Name, OwnerReferences: record.OwnerReferences},
		Subject:    record.Subject, Tag: record.Rendering.Tag,
		Health: v1alpha1.Health{State: v1alpha1.HealthHealthy},
		Release: &v1alpha1.Release{Name: "web", Namespace: w.namespace, StorageNamespace: w.namespace, Revision: 1,
			Next: v1alpha1.ReleaseParameters{Revision: 2}},
	}
	must(t, cluster.client.Create(t.Context(), sync))
	next := w.render(hr, helmRelease, func(r *v1alpha1.Render) bool { return isReady(r) && r.Release != nil && r.Release.Revision == 2 })
	if next.Rendering.Tag != record.Rendering.Tag {
		t.Error("other parameters made another identity of the release")
	}
	if revision, _, _ := nested(open(t, next, identities), 0, "data", "revision"); revision != "2" {
		t.Errorf("rendered for revision %q, want 2", revision)
	}

	w.packaged(hr, "1.1.0")
	upgraded := w.render(hr, helmRelease, at("1.1.0"))
	if upgraded.Rendering.Tag == record.Rendering.Tag {
		t.Error("another chart has the same identity")
	}
}

func TestReleaseFailures(t *testing.T) {
	publishRecipients(t)
	cases := map[string]struct {
		reason string
		change func(*helmv2.HelmRelease)
		want   string
		parts  []string
	}{
		"values-from": {"it would be rendered without them", func(hr *helmv2.HelmRelease) {
			hr.Spec.ValuesFrom = []helmv2.ValuesReference{{Kind: "ConfigMap", Name: "x"}}
		}, "BuildFailed", []string{"spec.valuesFrom"}},
	}
	w := newWorld(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w.t = t
			hr := w.release(func(hr *helmv2.HelmRelease) { hr.Name = name; c.change(hr) })
			w.packaged(hr, "1.0.0")
			w.render(hr, helmRelease, failedWith(c.want, c.parts...))
		})
	}
}

func TestForeignHelmChartIsLeftAlone(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	foreign := &sourcev1.HelmChart{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.namespace + "-web"},
		Spec: sourcev1.HelmChartSpec{Chart: "mine", Interval: metav1.Duration{Duration: time.Hour},
			SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: "GitRepository", Name: "mine"}},
	}
	must(t, cluster.client.Create(t.Context(), foreign))
	hr := w.release(nil)
	w.render(hr, helmRelease, failedWith("SourceNotReady", "does not belong"))
}
