package controller_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestHelmChartFromARepository: what is asked for is found in the index, downloaded, and stored as it is served.
func TestHelmChartFromARepository(t *testing.T) {
	t.Parallel()
	server := newHelmServer(t)
	old := server.publish(t, "demo", "1.0.0", map[string]string{"templates/a.yaml": "a"})
	server.publish(t, "demo", "1.1.0", map[string]string{
		"values.yaml": "a: 1\nm: {x: 1, z: 1}\n", "prod.yaml": "m: {x: 2}\n", "text.yaml": "canary", "templates/a.yaml": "a",
	})
	server.publish(t, "demo", "2.0.0-rc.1", nil)
	server.publish(t, "other", "0.1.0", nil)
	source := createRepository(t, server.URL, nil)
	obj := createListed(t, source, "demo", "1.0.x", nil)
	until(t, obj, chartAt(obj, "1.0.0"))
	if got := get(t, obj.Status.Artifact.URL, http.StatusOK); string(got) != string(old) {
		t.Error("it is not stored as it was served")
	}
	until(t, source, func() error { return isReady(source) })
	want := fmt.Sprintf("helmchart/%s/%s/demo-1.0.0.tgz", obj.Namespace, obj.Name)
	if obj.Status.Artifact.Path != want || obj.Status.ObservedSourceArtifactRevision != source.Status.Artifact.Revision ||
		obj.Status.ObservedChartName != "demo" {
		t.Errorf("status %+v, want the file %s", obj.Status, want)
	}
	expectEvent(t, obj, corev1.EventTypeNormal, "ChartPullSucceeded", "pulled 'demo' chart with version '1.0.0'")
	for name, tc := range map[string]struct {
		chart, version string
		change         func(*sourcev1.HelmChartSpec)
		want, values   string
		reason, text   string
		kind           string
	}{
		"the newest":           {chart: "demo", want: "1.1.0", values: "a: 1\nm: {x: 1, z: 1}\n"},
		"before a release":     {chart: "demo", version: ">=2.0.0-0", want: "2.0.0-rc.1"},
		"a version of the API": {chart: "demo", change: func(s *sourcev1.HelmChartSpec) { s.SourceRef.APIVersion = "source.toolkit.fluxcd.io/v1beta2" }, want: "1.1.0", values: "a: 1\nm: {x: 1, z: 1}\n"},
		"a revision":           {chart: "demo", change: func(s *sourcev1.HelmChartSpec) { s.ReconcileStrategy = "Revision" }, want: "1.1.0", values: "a: 1\nm: {x: 1, z: 1}\n"},
		"values files":         {chart: "demo", change: values("values.yaml", "prod.yaml"), want: "1.1.0+1", values: "a: 1\nm:\n  x: 2\n  z: 1\n"},
		"some that are there":  {chart: "demo", change: ignoring("absent.yaml", "prod.yaml"), want: "1.1.0+1", values: "m:\n  x: 2\n"},
		"F52, gone":            {chart: "demo", version: "1.0.1", reason: "InvalidChartReference", text: `is "1.0.1"; the newest are 2.0.0-rc.1, 1.1.0, 1.0.0`},
		"no such chart":        {chart: "demos", reason: "InvalidChartReference", text: `does not list chart "demos"; near are demo`},
		"no range":             {chart: "demo", version: "newest", reason: "InvalidChartReference", text: "neither a version nor a range"},
		"no values file":       {chart: "demo", change: values("absent.yaml"), reason: "ValuesFilesError", text: `"absent.yaml" does not exist in the chart`, kind: sourcev1.BuildFailedCondition},
		"no mapping":           {chart: "demo", change: values("text.yaml"), reason: "ValuesFilesError", text: `"text.yaml" is not a YAML mapping`, kind: sourcev1.BuildFailedCondition},
		"S-03, values":         {chart: "demo", change: values("../../etc/passwd"), reason: "ValuesFilesError", text: "is not a file inside the chart", kind: sourcev1.BuildFailedCondition},
		"S-06, a path":         {chart: "../demo", reason: "InvalidChartReference", text: "is not the name of a chart"},
		"verified":             {chart: "demo", change: func(s *sourcev1.HelmChartSpec) { s.Verify = &sourcev1.HelmChartVerification{Provider: "cosign"} }, reason: "InvalidSpec", text: "only charts in a registry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := createListed(t, source, tc.chart, tc.version, tc.change)
			if tc.want != "" {
				until(t, obj, chartAt(obj, tc.want))
				if got := download(t, obj.Status.Artifact)["demo/values.yaml"]; got != tc.values {
					t.Errorf("values %q, want %q", got, tc.values)
				}
				return
			}
			until(t, obj, func() error { return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, tc.reason, tc.text) })
			kind := tc.kind
			if kind == "" {
				kind = sourcev1.FetchFailedCondition
			}
			for _, kind := range []string{kind, meta.StalledCondition} {
				if err := hasCondition(obj, kind, metav1.ConditionTrue, tc.reason, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func values(files ...string) func(*sourcev1.HelmChartSpec) {
	return func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = files }
}

func ignoring(files ...string) func(*sourcev1.HelmChartSpec) {
	return func(s *sourcev1.HelmChartSpec) { s.ValuesFiles, s.IgnoreMissingValuesFiles = files, true }
}

// TestHelmChartComesWhenItIsListed: a chart that waits for a version needs no request but the repository's.
func TestHelmChartComesWhenItIsListed(t *testing.T) {
	t.Parallel()
	server := newHelmServer(t)
	server.publish(t, "demo", "1.0.0", nil)
	source := createRepository(t, server.URL, nil)
	obj := createListed(t, source, "demo", "2.x", nil)
	until(t, obj, func() error {
		return hasCondition(obj, meta.StalledCondition, metav1.ConditionTrue, "InvalidChartReference", "2.x")
	})
	server.publish(t, "demo", "2.0.0", nil)
	request(t, source)
	until(t, obj, chartAt(obj, "2.0.0"))
	// One that is gone from the index stays as it is stored, and what is asked for is said.
	if err := os.Remove(filepath.Join(server.dir, "demo-2.0.0.tgz")); err != nil {
		t.Fatal(err)
	}
	server.publish(t, "demo", "1.5.0", nil)
	request(t, source)
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "InvalidChartReference", "2.x")
	})
	get(t, obj.Status.Artifact.URL, http.StatusOK)
}

// TestServersThatServeOtherCharts: what is not what the index lists, or is larger than taken, is not stored.
func TestServersThatServeOtherCharts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer       func(w http.ResponseWriter)
		index        func(string) string
		reason, text string
	}{
		"S-08, tampered":        {answer: func(w http.ResponseWriter) { _, _ = w.Write([]byte("canary")) }, reason: "ChartPullError", text: "is not the one that the index lists"},
		"S-14, too large":       {answer: func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 600_000)) }, reason: "ChartPullError", text: "raise --helm-chart-max-size"},
		"F34, 500":              {answer: func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }, reason: "ChartPullError", text: "answers HTTP 500"},
		"not there":             {answer: func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, reason: "ChartPullError", text: "does not have the chart demo 1.0.0 (HTTP 404); the index lists it"},
		"no package, no digest": {answer: func(w http.ResponseWriter) { _, _ = w.Write([]byte("canary")) }, index: without("digest:"), reason: "ChartPullError", text: "it is not a packaged chart"},
		"F37, cut off": {
			answer: func(w http.ResponseWriter) {
				w.Header().Set("Content-Length", "1000")
				_, _ = w.Write([]byte("canary"))
			}, reason: "ChartPullError", text: "closed the connection halfway",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newHelmServer(t)
			server.publish(t, "demo", "1.0.0", nil)
			if tc.index != nil {
				server.writeIndex(t, tc.index(server.index(t)))
			}
			server.set(func() {
				server.answer = func(w http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.URL.Path, ".tgz") {
						tc.answer(w)
						return true
					}
					return false
				}
			})
			obj := createListed(t, createRepository(t, server.URL, nil), "demo", "", nil)
			until(t, obj, func() error { return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, tc.reason, tc.text) })
			server.set(func() { server.answer = nil })
			until(t, obj, chartAt(obj, "1.0.0")) // it is tried again
		})
	}
}

// without leaves out the lines of an index that have a word.
func without(word string) func(string) string {
	return func(index string) string {
		var lines []string
		for line := range strings.Lines(index) {
			if !strings.Contains(line, word) {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
}

// TestS12BombsInCharts: what unpacks to far more than it weighs is refused before it costs memory.
func TestS12BombsInCharts(t *testing.T) {
	t.Parallel()
	server := newHelmServer(t)
	server.publish(t, "demo", "1.0.0", nil)
	server.writeIndex(t, without("digest:")(server.index(t)))
	packageChart(t, server.dir, "demo", "1.0.0", map[string]string{"zeros": strings.Repeat("\x00", 2_000_000)})
	obj := createListed(t, createRepository(t, server.URL, nil), "demo", "", nil)
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "ChartPullError", "a file in it has more than 1000000 bytes; raise --helm-chart-file-max-size")
	})
}

func TestHelmRepositoryWithALogin(t *testing.T) {
	t.Parallel()
	const password = "canary-of-a-repository"
	server := newHelmServer(t)
	server.publish(t, "demo", "1.0.0", nil)
	server.set(func() { server.user, server.password = "ada", password })
	ns := namespace(t)
	secret := makeSecret(t, ns, "login", map[string]string{"username": "ada", "password": "canary"})
	source := createRepository(t, server.URL, func(o *sourcev1.HelmRepository) { o.Namespace, o.Spec.SecretRef = ns, ref("login") })
	obj := createListed(t, source, "demo", "", nil)
	until(t, source, func() error {
		return hasCondition(source, meta.ReadyCondition, metav1.ConditionFalse, "AuthenticationFailed", "correct those in the Secret of spec.secretRef")
	})
	patch := client.MergeFrom(secret.DeepCopy())
	secret.Data = map[string][]byte{"username": []byte("ada"), "password": []byte(password)}
	if err := shared.Patch(t.Context(), secret, patch); err != nil {
		t.Fatal(err)
	}
	until(t, source, indexAt(source, server.index(t)))
	until(t, obj, chartAt(obj, "1.0.0"))
}

// TestHelmChartFromABucket: the tarball of a bucket is a source as that of a repository is.
func TestHelmChartFromABucket(t *testing.T) {
	t.Parallel()
	bucket := &sourcev1.Bucket{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace(t), Name: "charts"},
		Spec:       sourcev1.BucketSpec{BucketName: "charts", Endpoint: "bucket.invalid", Interval: metav1.Duration{Duration: time.Hour}, Suspend: true},
	}
	if err := shared.Create(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	obj := &sourcev1.HelmChart{
		ObjectMeta: metav1.ObjectMeta{Namespace: bucket.Namespace, Name: "demo"},
		Spec: sourcev1.HelmChartSpec{
			Chart: "demo", Interval: metav1.Duration{Duration: time.Hour}, ReconcileStrategy: "Revision", ValuesFiles: []string{"env/prod.yaml"},
			SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: sourcev1.BucketKind, Name: bucket.Name},
		},
	}
	if err := shared.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionUnknown, "NoSourceArtifact", "Bucket ")
	})
	for i, version := range []string{"1.0.0", "1.1.0"} {
		revision := fmt.Sprintf("sha256:%064d", i+1)
		advertise(t, bucket, revision, map[string]string{
			"demo/Chart.yaml": "apiVersion: v2\nname: demo\nversion: " + version + "\n", "demo/values.yaml": "a: 1\n", "env/prod.yaml": "a: 2\n",
		})
		until(t, obj, chartAt(obj, version+"+"+revision[7:19]+".1"))
		if got := download(t, obj.Status.Artifact)["demo/values.yaml"]; got != "a: 2\n" {
			t.Errorf("values %q", got)
		}
		if obj.Status.ObservedSourceArtifactRevision != revision {
			t.Errorf("made of %s", obj.Status.ObservedSourceArtifactRevision)
		}
	}
}

// TestAccessFromGrantsNothing: spec.accessFrom is declared and not implemented, as in Flux; a chart's source is in its own namespace.
func TestAccessFromGrantsNothing(t *testing.T) {
	t.Parallel()
	server := newHelmServer(t)
	server.publish(t, "demo", "1.0.0", nil)
	source := createRepository(t, server.URL, func(o *sourcev1.HelmRepository) {
		// namespaceSelectors[].matchLabels that everybody has
		o.Spec.AccessFrom = &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{MatchLabels: map[string]string{}}}}
	})
	until(t, source, indexAt(source, server.index(t)))
	elsewhere := source.DeepCopy()
	elsewhere.Namespace = namespace(t)
	obj := createListed(t, elsewhere, "demo", "", nil)
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "SourceUnavailable", "HelmRepository "+obj.Namespace+"/charts does not exist")
	})
}
