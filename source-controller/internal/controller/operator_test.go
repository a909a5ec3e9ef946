package controller_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// What whoever operates source-controller sees of it: its log and its metrics.

// TestLogTellsTheStory of a fetch, a failure with its reason, and its recovery, each once, and nothing of polls.
func TestLogTellsTheStory(t *testing.T) {
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"charts/demo/Chart.yaml": demoChart})
	obj := create(t, repo.URL, nil)
	until(t, obj, at(obj, "main@sha1:"+commit))
	chart := createChart(t, obj, nil)
	until(t, chart, chartAt(chart, "1.2.3"))
	request(t, obj) // a poll that finds nothing
	server.Disturb(gittest.Status(http.StatusServiceUnavailable))
	for range 3 {
		request(t, obj)
	}
	if err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "GitOperationFailed", "HTTP 503"); err != nil {
		t.Fatal(err)
	}
	server.Disturb(nil)
	until(t, obj, func() error { return isReady(obj) })
	if err := shared.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	gone(t, obj)
	want := []string{
		`fetched main@sha1:` + commit + ` in `, `failed to fetch: ` + repo.URL + `: 127.0.0.1`, `recovered: stored artifact for revision 'main@sha1:` + commit,
		`removed the artifacts of a deleted object`,
	}
	got := outcomes(obj.Namespace, sourcev1.GitRepositoryKind)
	if len(got) != len(want) {
		t.Fatalf("logged\n%s", strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.Contains(got[i], `"msg"="`+want[i]) {
			t.Errorf("line %d is\n%s\nwant %s", i, got[i], want[i])
		}
	}
	if got := outcomes(obj.Namespace, sourcev1.HelmChartKind); len(got) == 0 || !strings.Contains(got[0], "packaged chart demo@1.2.3 in ") {
		t.Errorf("of the chart: %v", got)
	}
	if strings.Contains(logs.String(), "Reconciler error") && strings.Contains(lineWith("Reconciler error"), obj.Namespace) {
		t.Errorf("what the conditions say is an error of the controller: %s", lineWith("Reconciler error"))
	}
}

// outcomes are the lines at info about the objects of a kind in a namespace.
func outcomes(namespace, kind string) []string {
	return slices.DeleteFunc(strings.Split(logs.String(), "\n"), func(line string) bool {
		return !strings.Contains(line, `"namespace"="`+namespace+`"`) || !strings.Contains(line, `"controllerKind"="`+kind+`"`) ||
			!strings.Contains(line, `"level"=0`)
	})
}

func lineWith(text string) string {
	for line := range strings.Lines(logs.String()) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// TestSecretWithALineEnd: made by echo or from a file, it is refused, and the condition says why without showing anything of it.
func TestSecretWithALineEnd(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a": "1"})
	server.Protect("ada", "canary")
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) {
		o.Spec.SecretRef = &meta.LocalObjectReference{Name: "git"}
	})
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: obj.Namespace, Name: "git"},
		StringData: map[string]string{"username": "ada\n", "password": "canary\n"},
	}
	if err := shared.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "AuthenticationFailed",
			"username and password in the Secret of spec.secretRef end with white space")
	})
	secret.StringData = map[string]string{"username": "ada", "password": "canary"}
	if err := shared.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	until(t, obj, at(obj, "main@sha1:"+commit))
}

// TestEverySeriesMoves drives what each of them measures. It is not parallel: nobody else moves them meanwhile.
func TestEverySeriesMoves(t *testing.T) {
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	before := series(t)
	commit := repo.Commit("one", map[string]string{"charts/demo/Chart.yaml": demoChart})
	obj := create(t, repo.URL, nil)
	until(t, obj, at(obj, "main@sha1:"+commit))
	chart := createChart(t, obj, nil)
	until(t, chart, chartAt(chart, "1.2.3"))
	request(t, obj)
	request(t, chart)
	broken := createChart(t, obj, func(spec *sourcev1.HelmChartSpec) { spec.Chart = "missing" })
	until(t, broken, func() error { return hasCondition(broken, meta.ReadyCondition, metav1.ConditionFalse, "", "") })
	server.Disturb(gittest.Status(http.StatusServiceUnavailable))
	request(t, obj)
	until(t, obj, func() error { return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "", "") })
	for _, want := range []string{
		`sluice_fetch_duration_seconds{kind="GitRepository",result="success"}`,
		`sluice_fetch_duration_seconds{kind="GitRepository",result="unchanged"}`,
		`sluice_fetch_duration_seconds{kind="GitRepository",result="failure"}`,
		`sluice_fetch_duration_seconds{kind="HelmChart",result="success"}`,
		`sluice_fetch_duration_seconds{kind="HelmChart",result="unchanged"}`,
		`sluice_fetch_duration_seconds{kind="HelmChart",result="failure"}`,
		`sluice_fetch_bytes_total{kind="GitRepository"}`,
		`sluice_objects{kind="GitRepository",ready="False"}`,
		`sluice_objects{kind="HelmChart",ready="True"}`,
		fmt.Sprintf(`sluice_object_ready{kind="HelmChart",name="%s",namespace="%s"}`, chart.Name, chart.Namespace),
	} {
		eventually(t, func() error {
			if after := series(t); after[want] == before[want] {
				return fmt.Errorf("%s is %v, as before; there are %v", want, after[want], slices.Sorted(maps.Keys(after)))
			}
			return nil
		})
	}
	for _, want := range []string{"sluice_storage_bytes{}", "sluice_storage_free_bytes{}"} { // the first is summed once a minute
		if series(t)[want] <= 0 {
			t.Errorf("%s is %v", want, series(t)[want])
		}
	}
}

// series are the values of Sluice's own series, of a histogram the count.
func series(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := ctrlmetrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "sluice_") {
			continue
		}
		for _, m := range family.GetMetric() {
			all[family.GetName()+labels(m)] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func labels(m *dto.Metric) string {
	pairs := make([]string, 0, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}
