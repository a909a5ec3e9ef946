package controller_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

const demoChart = "apiVersion: v2\nname: demo\nversion: 1.2.3\n"

// createChart creates a HelmChart in the namespace of its source.
func createChart(t *testing.T, source *sourcev1.GitRepository, change func(*sourcev1.HelmChartSpec)) *sourcev1.HelmChart {
	t.Helper()
	obj := &sourcev1.HelmChart{
		ObjectMeta: metav1.ObjectMeta{Namespace: source.Namespace, GenerateName: "demo-"},
		Spec: sourcev1.HelmChartSpec{
			Chart: "./charts/demo", Interval: metav1.Duration{Duration: time.Hour},
			SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: sourcev1.GitRepositoryKind, Name: source.Name},
		},
	}
	if change != nil {
		change(&obj.Spec)
	}
	if err := shared.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func chartAt(obj *sourcev1.HelmChart, version string) func() error {
	return func() error {
		if err := isReady(obj); err != nil {
			return err
		}
		if !obj.Status.Artifact.HasRevision(version) || obj.Status.ObservedGeneration != obj.Generation {
			return fmt.Errorf("at %+v, want %s", obj.Status.Artifact, version)
		}
		return nil
	}
}

func TestHelmChartFollowsItsSource(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("add chart", map[string]string{
		"charts/demo/Chart.yaml": demoChart, "charts/demo/templates/cm.yaml": "kind: ConfigMap\n", "charts/demo/values.yaml": "a: 1\n",
	})
	source := create(t, repo.URL, nil)
	obj := createChart(t, source, nil)
	byRevision := createChart(t, source, func(s *sourcev1.HelmChartSpec) { s.ReconcileStrategy = "Revision" })
	until(t, obj, chartAt(obj, "1.2.3"))
	if got := names(download(t, obj.Status.Artifact)); got != "demo/Chart.yaml demo/templates/cm.yaml demo/values.yaml" {
		t.Errorf("files: %s", got)
	}
	want := fmt.Sprintf("helmchart/%s/%s/demo-1.2.3.tgz", obj.Namespace, obj.Name)
	if obj.Status.Artifact.Path != want || !strings.HasSuffix(obj.Status.URL, "/latest.tar.gz") {
		t.Errorf("artifact: %+v, url %s", obj.Status.Artifact, obj.Status.URL)
	}
	for _, kind := range []string{meta.ReadyCondition, sourcev1.ArtifactInStorageCondition} {
		err := hasCondition(obj, kind, metav1.ConditionTrue, "ChartPackageSucceeded", "packaged 'demo' chart with version '1.2.3'")
		if err != nil {
			t.Error(err)
		}
	}
	expectEvent(t, obj, corev1.EventTypeNormal, "ChartPackageSucceeded", "packaged 'demo' chart with version '1.2.3'")

	digest := obj.Status.Artifact.Digest
	second := repo.Commit("change a template", map[string]string{"charts/demo/templates/cm.yaml": "kind: Secret\n"})
	request(t, source)
	until(t, byRevision, chartAt(byRevision, "1.2.3+"+second[:12]))
	until(t, obj, func() error {
		if got := obj.Status.ObservedSourceArtifactRevision; got != "main@sha1:"+second {
			return fmt.Errorf("looked at %s", got)
		}
		return nil
	})
	if obj.Status.Artifact.Digest != digest {
		t.Error("with the strategy ChartVersion, a chart whose version did not change was packaged again")
	}
	repo.Commit("new version", map[string]string{"charts/demo/Chart.yaml": strings.Replace(demoChart, "1.2.3", "1.3.0", 1)})
	request(t, source)
	until(t, obj, chartAt(obj, "1.3.0"))
}

// TestChartIsMadeAnewAfterItStalled: a chart of the same name and version in another folder is another chart, also if
// the folder is not there at first.
func TestChartIsMadeAnewAfterItStalled(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("add chart", map[string]string{"charts/demo/Chart.yaml": demoChart, "charts/demo/templates/a.yaml": "a"})
	source := create(t, repo.URL, nil)
	obj := createChart(t, source, nil)
	until(t, obj, chartAt(obj, "1.2.3"))
	patch := client.MergeFrom(obj.DeepCopy())
	obj.Spec.Chart = "charts/other"
	if err := shared.Patch(t.Context(), obj, patch); err != nil {
		t.Fatal(err)
	}
	until(t, obj, func() error {
		return hasCondition(obj, meta.StalledCondition, metav1.ConditionTrue, "InvalidChartReference", "charts/other")
	})
	repo.Commit("add other chart", map[string]string{"charts/other/Chart.yaml": demoChart, "charts/other/templates/b.yaml": "b"})
	request(t, source)
	until(t, obj, chartAt(obj, "1.2.3"))
	if got := names(download(t, obj.Status.Artifact)); got != "demo/Chart.yaml demo/templates/b.yaml" {
		t.Errorf("files: %s", got)
	}
}

func TestHelmChartValuesFilesAndDependencies(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("add chart", map[string]string{
		"charts/demo/Chart.yaml":  demoChart + "dependencies:\n- name: lib\n  version: 0.x\n  repository: file://../lib\n",
		"charts/demo/values.yaml": "a: 0\nz: 0\n",
		"charts/lib/Chart.yaml":   "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n",
		"envs/base.yaml":          "a: 1\nmap: {x: 1}\n", "envs/prod.yaml": "map: {q: 2}\n",
	})
	source := create(t, repo.URL, nil)
	obj := createChart(t, source, func(s *sourcev1.HelmChartSpec) {
		s.ValuesFiles, s.IgnoreMissingValuesFiles = []string{"envs/base.yaml", "envs/absent.yaml", "envs/prod.yaml"}, true
	})
	until(t, obj, chartAt(obj, "1.2.3+1"))
	files := download(t, obj.Status.Artifact)
	if got := files["demo/values.yaml"]; got != "a: 1\nmap:\n  q: 2\n  x: 1\n" {
		t.Errorf("values: %q", got)
	}
	if _, ok := files["demo/charts/lib/Chart.yaml"]; !ok {
		t.Errorf("files: %s", names(files))
	}
	if got := fmt.Sprint(obj.Status.ObservedValuesFiles); got != "[envs/base.yaml envs/prod.yaml]" {
		t.Errorf("observed values files: %s", got)
	}
}

func TestHelmChartFailuresAreExplained(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("add charts", map[string]string{
		"charts/demo/Chart.yaml": demoChart, "charts/bad/Chart.yaml": "name: bad\n", "charts/demo/values.yaml": "a: 1\n",
		"charts/remote/Chart.yaml": demoChart + "dependencies:\n- name: redis\n  version: 1.x\n  repository: https://ada:canary@charts.example.com/x\n",
		"charts/outside/Chart.yaml": demoChart +
			"dependencies:\n- name: redis\n  version: 1.x\n  repository: file://../../../outside\n",
		"secret.yaml": "canary\n",
	})
	source := create(t, repo.URL, nil)
	for name, tc := range map[string]struct {
		change func(*sourcev1.HelmChartSpec)
		kind   string
		reason string
		text   string
		stalls bool
	}{
		"no source": {
			change: func(s *sourcev1.HelmChartSpec) { s.SourceRef.Name = "absent" },
			kind:   sourcev1.FetchFailedCondition, reason: "SourceUnavailable", text: "/absent does not exist",
		},
		"no repository": {
			change: func(s *sourcev1.HelmChartSpec) { s.SourceRef.Kind, s.Chart = "HelmRepository", "demo" },
			kind:   sourcev1.FetchFailedCondition, reason: "SourceUnavailable", text: "create it, or correct spec.sourceRef.name",
		},
		"no bucket": {
			change: func(s *sourcev1.HelmChartSpec) { s.SourceRef.Kind = "Bucket" },
			kind:   sourcev1.FetchFailedCondition, reason: "SourceUnavailable", text: "Bucket ",
		},
		"no chart": {
			change: func(s *sourcev1.HelmChartSpec) { s.Chart = "charts/absent" },
			kind:   sourcev1.BuildFailedCondition, reason: "InvalidChartReference", text: `"charts/absent"`, stalls: true,
		},
		"outside": {
			change: func(s *sourcev1.HelmChartSpec) { s.Chart = "../../etc" },
			kind:   sourcev1.BuildFailedCondition, reason: "InvalidChartReference", text: "inside the source", stalls: true,
		},
		"bad chart": {
			change: func(s *sourcev1.HelmChartSpec) { s.Chart = "charts/bad" },
			kind:   sourcev1.BuildFailedCondition, reason: "InvalidChartReference", text: "charts/bad", stalls: true,
		},
		"missing values file": {
			change: func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"absent.yaml"} },
			kind:   sourcev1.BuildFailedCondition, reason: "ValuesFilesError", text: `"absent.yaml" does not exist`, stalls: true,
		},
		"values file that is none": {
			change: func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"secret.yaml"} },
			kind:   sourcev1.BuildFailedCondition, reason: "ValuesFilesError", text: "not a YAML mapping", stalls: true,
		},
		"remote dependency": {
			change: func(s *sourcev1.HelmChartSpec) { s.Chart = "charts/remote" },
			kind:   sourcev1.BuildFailedCondition, reason: "DependencyBuildError", text: "https://charts.example.com, holds a user",
		},
		"dependency outside": {
			change: func(s *sourcev1.HelmChartSpec) { s.Chart = "charts/outside" },
			kind:   sourcev1.BuildFailedCondition, reason: "DependencyBuildError", text: "outside the source",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := createChart(t, source, tc.change)
			until(t, obj, func() error {
				return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, tc.reason, tc.text)
			})
			abnormal := hasCondition(obj, tc.kind, metav1.ConditionTrue, tc.reason, "")
			stalled := hasCondition(obj, meta.StalledCondition, metav1.ConditionTrue, tc.reason, "")
			if abnormal != nil || tc.stalls != (stalled == nil) {
				t.Errorf("conditions: %+v", obj.Status.Conditions)
			}
			if strings.Contains(fmt.Sprint(obj.Status), "canary") {
				t.Errorf("the status shows content: %+v", obj.Status)
			}
		})
	}
}

func TestHelmChartWaitsForItsSourceAndGoesWithItsFiles(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	source := create(t, repo.URL, nil) // still empty
	obj := createChart(t, source, nil)
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionUnknown, "NoSourceArtifact", "no artifact yet")
	})
	repo.Commit("add chart", map[string]string{"charts/demo/Chart.yaml": demoChart})
	until(t, obj, chartAt(obj, "1.2.3"))
	if err := shared.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	gone(t, obj)
	get(t, obj.Status.Artifact.URL, 404)
}

func TestEventsReachTheBus(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	commit := repo.Commit("add a", map[string]string{"a": "1"})
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) {
		o.Annotations = map[string]string{"event.toolkit.fluxcd.io/team": "gates", "other": "x"}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	found := make(chan event.Event, 1)
	go func() {
		consumer := bus.Consumer{
			Stream: bus.Events(), Name: "test", Parallel: 1,
			Filter: event.Subject("source-controller", "GitRepository", obj.Namespace, obj.Name, "NewArtifact"),
		}
		_ = shared.bus.Consume(ctx, consumer, func(_ context.Context, d bus.Delivery) bus.Verdict {
			ev, err := event.Unwrap(event.Envelope{Header: d.Header, Data: d.Data})
			if err != nil {
				return bus.Drop(err.Error())
			}
			select {
			case found <- ev:
			default:
			}
			return bus.Done()
		})
	}()
	select {
	case <-ctx.Done():
		t.Fatal("no event on the bus")
	case ev := <-found:
		want := map[string]string{
			"source.toolkit.fluxcd.io/revision": "main@sha1:" + commit,
			"event.toolkit.fluxcd.io/team":      "gates",
		}
		for key, value := range want {
			if ev.Metadata[key] != value {
				t.Errorf("metadata %s is %q, want %q", key, ev.Metadata[key], value)
			}
		}
		if ev.Message != "stored artifact for commit 'add a'" || ev.InvolvedObject.UID != obj.UID || ev.Metadata["other"] != "" {
			t.Errorf("event: %+v", ev)
		}
	}
}
