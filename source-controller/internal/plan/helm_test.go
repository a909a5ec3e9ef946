package plan_test

import (
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

func TestValidateHelmRepository(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*sourcev1.HelmRepositorySpec)
		text   string
	}{
		"good":              {func(*sourcev1.HelmRepositorySpec) {}, ""},
		"a query":           {func(s *sourcev1.HelmRepositorySpec) { s.URL += "?sig=x" }, ""},
		"no interval":       {func(s *sourcev1.HelmRepositorySpec) { s.Interval.Duration = 0 }, ""},
		"a registry":        {func(s *sourcev1.HelmRepositorySpec) { s.URL = "oci://host/x" }, "set spec.type to oci"},
		"a file":            {func(s *sourcev1.HelmRepositorySpec) { s.URL = "file:///etc" }, "must be https or http"},
		"no host":           {func(s *sourcev1.HelmRepositorySpec) { s.URL = "https:///x" }, "it names no host"},
		"no URL":            {func(s *sourcev1.HelmRepositorySpec) { s.URL = "https://[" }, "not a URL"},
		"a user":            {func(s *sourcev1.HelmRepositorySpec) { s.URL = "https://token@host/x" }, "move the credentials"},
		"a fragment":        {func(s *sourcev1.HelmRepositorySpec) { s.URL += "#x" }, "remove it"},
		"interval backward": {func(s *sourcev1.HelmRepositorySpec) { s.Interval.Duration = -1 }, "spec.interval"},
		"no time":           {func(s *sourcev1.HelmRepositorySpec) { s.Timeout = &metav1.Duration{} }, "spec.timeout"},
	} {
		spec := sourcev1.HelmRepositorySpec{URL: "https://charts.example.com/x", Interval: metav1.Duration{Duration: time.Minute}}
		tc.change(&spec)
		p := plan.ValidateHelmRepository(spec)
		if (p == nil) != (tc.text == "") || p != nil && (!strings.Contains(p.Message, tc.text) || !p.Terminal) {
			t.Errorf("%s: got %+v, want %q", name, p, tc.text)
		}
	}
}

func TestNormalURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://host/x": "https://host/x/", "https://host/x///": "https://host/x/", "http://host": "http://host/", "https://host/a%2Fb/": "https://host/a%2Fb/",
		"oci://host/x/": "oci://host/x", "oci://host/x": "oci://host/x", "@stable": "", "file://../x": "", "https://[": "", "": "",
	} {
		if got := plan.NormalURL(raw); got != want {
			t.Errorf("%q is %q, want %q", raw, got, want)
		}
	}
}

func TestReadableSize(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int64]string{0: "0B", 999: "999B", 1234: "1.234kB", 20_971_520: "20.97MB", 5_000_000_000: "5GB"} {
		if got := plan.ReadableSize(bytes); got != want {
			t.Errorf("%d is %s, want %s", bytes, got, want)
		}
	}
}

func TestKeptIndexMessage(t *testing.T) {
	t.Parallel()
	told := plan.IndexMessage("sha256:1", `left out of the index: "a": it has no version`)
	before := []metav1.Condition{{Type: sourcev1.ArtifactInStorageCondition, Message: told}}
	if got := plan.KeptIndexMessage(before, "sha256:1"); got != told {
		t.Errorf("got %q, want what was said before", got)
	}
	if got := plan.KeptIndexMessage(before, "sha256:12"); got != "stored artifact: revision 'sha256:12'" {
		t.Errorf("got %q for another index", got)
	}
}

func listed(change func(*sourcev1.HelmChartSpec)) sourcev1.HelmChartSpec {
	spec := sourcev1.HelmChartSpec{
		Chart: "demo", Interval: metav1.Duration{Duration: time.Minute},
		SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: sourcev1.HelmRepositoryKind, Name: "charts"},
	}
	if change != nil {
		change(&spec)
	}
	return spec
}

// TestS06ChartNames: what becomes a file's name, or a part of an address, is not a path.
func TestS06ChartNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"demo": true, "Demo_1.x-y": true, "team/demo": true, "": false, ".": false, "..": false, "../demo": false, "a/../b": false, "/demo": false,
		"demo/": false, "a//b": false, ".hidden": false, "a/.b": false, `a\b`: false, "a b": false, "a\x00": false, "démo": false, "demo:1": false, "demo@x": false,
		strings.Repeat("a", 251): false,
	} {
		p := plan.ValidateChart(listed(func(s *sourcev1.HelmChartSpec) { s.Chart = name }))
		if (p == nil) != ok || p != nil && (p.Reason != "InvalidChartReference" || !p.Terminal) {
			t.Errorf("%.20q: got %+v, want it taken: %t", name, p, ok)
		}
	}
}

func TestVersionsOfListedCharts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change   func(*sourcev1.HelmChartSpec)
		want     string
		packaged bool
	}{
		"as it is":       {nil, "1.0.0+build", false},
		"by revision":    {func(s *sourcev1.HelmChartSpec) { s.ReconcileStrategy = "Revision" }, "1.0.0+build", false},
		"its own values": {func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"./values.yaml"} }, "1.0.0+build", false},
		"others":         {func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"values.yaml", "x.yaml"} }, "1.0.0+7", true},
	} {
		spec := listed(tc.change)
		got, p := plan.ChartVersion(spec, 7, "1.0.0+build", "sha256:0123456789abcdef")
		if p != nil || got != tc.want || plan.Packaged(spec) != tc.packaged {
			t.Errorf("%s: got %s, packaged %t, %v; want %s", name, got, plan.Packaged(spec), p, tc.want)
		}
	}
}

func TestNewestChart(t *testing.T) {
	t.Parallel()
	tags := []string{"1.0.0", "1.2.0_build.1", "1.1.0", "2.0.0-rc.1", "latest", "v1.1.5", "not a tag"}
	for asked, want := range map[string]string{
		"": "1.2.0_build.1", "*": "1.2.0_build.1", "1.0.x": "1.0.0", "<1.2.0": "v1.1.5", ">=2.0.0-0": "2.0.0-rc.1", "latest": "latest",
	} {
		tag, version, p := plan.NewestChart(tags, asked)
		if p != nil || tag != want || version != strings.ReplaceAll(want, "_", "+") {
			t.Errorf("%q: got %s, %s, %v; want %s", asked, tag, version, p, want)
		}
	}
	for asked, text := range map[string]string{
		"3.x": `none of 7 tags is a version in the range "3.x"; the newest are 2.0.0-rc.1, 1.2.0+build.1, 1.1.5`, "newest": "neither a version nor a range",
	} {
		if _, _, p := plan.NewestChart(tags, asked); p == nil || !strings.Contains(p.Message, text) {
			t.Errorf("%q: got %+v, want %q", asked, p, text)
		}
	}
	if _, _, p := plan.NewestChart([]string{"latest"}, ""); p == nil || !strings.Contains(p.Message, "none is a version") {
		t.Errorf("no versions: %+v", p)
	}
	for asked, want := range map[string]string{"1.0.0": "1.0.0", "v1.0.0-rc.1+x": "v1.0.0-rc.1_x", "1.0": "", "1.x": "", "": ""} {
		if tag, ok := plan.ExactTag(asked); tag != want && ok || ok != (want != "") {
			t.Errorf("%q: got %q, %t", asked, tag, ok)
		}
	}
}
