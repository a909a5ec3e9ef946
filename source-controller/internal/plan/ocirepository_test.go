package plan_test

import (
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestValidateOCI(t *testing.T) {
	type spec = sourcev1.OCIRepositorySpec
	ref := func(r sourcev1.OCIRepositoryRef) func(*spec) { return func(s *spec) { s.Reference = &r } }
	for name, tc := range map[string]struct {
		change func(*spec)
		text   string
	}{
		"nothing set":     {func(*spec) {}, ""},
		"tag":             {ref(sourcev1.OCIRepositoryRef{Tag: "v1.0_x-y"}), ""},
		"digest":          {ref(sourcev1.OCIRepositoryRef{Digest: digest, Tag: "a/b"}), ""},
		"range":           {ref(sourcev1.OCIRepositoryRef{SemVer: ">=1.0.0-0", SemverFilter: ".*-rc.*"}), ""},
		"a path as a tag": {ref(sourcev1.OCIRepositoryRef{Tag: "../other/manifests/x"}), "spec.ref.tag"},
		"a short digest":  {ref(sourcev1.OCIRepositoryRef{Digest: "sha256:01"}), "spec.ref.digest"},
		"sha512":          {ref(sourcev1.OCIRepositoryRef{Digest: "sha512:" + strings.Repeat("0", 128)}), "spec.ref.digest"},
		"no range":        {ref(sourcev1.OCIRepositoryRef{SemVer: "new"}), "spec.ref.semver"},
		"no expression":   {ref(sourcev1.OCIRepositoryRef{SemVer: "*", SemverFilter: "("}), "spec.ref.semverFilter"},
		"a long one":      {ref(sourcev1.OCIRepositoryRef{SemVer: "*", SemverFilter: strings.Repeat("a", 2000)}), "spec.ref.semverFilter"},
		"interval":        {func(s *spec) { s.Interval.Duration = 0 }, "spec.interval"},
		"timeout":         {func(s *spec) { s.Timeout = &metav1.Duration{} }, "spec.timeout"},
		"provider":        {func(s *spec) { s.Provider = "other" }, "spec.provider"},
		"operation":       {func(s *spec) { s.LayerSelector = &sourcev1.OCILayerSelector{Operation: "move"} }, "spec.layerSelector.operation"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec{Interval: metav1.Duration{Duration: time.Minute}}
			tc.change(&s)
			p := plan.ValidateOCI(s)
			if (p == nil) != (tc.text == "") || p != nil && (!p.Terminal || !strings.Contains(p.Message, tc.text)) {
				t.Errorf("got %+v, want %q", p, tc.text)
			}
		})
	}
}

func TestReadOCIRef(t *testing.T) {
	all := sourcev1.OCIRepositoryRef{Digest: digest, SemVer: "1.x", SemverFilter: "a", Tag: "v1"}
	for _, tc := range []struct {
		ref  *sourcev1.OCIRepositoryRef
		want plan.OCITarget
	}{
		{nil, plan.OCITarget{Tag: "latest"}},
		{&sourcev1.OCIRepositoryRef{}, plan.OCITarget{Tag: "latest"}},
		{&all, plan.OCITarget{Digest: digest}},
		{&sourcev1.OCIRepositoryRef{SemVer: all.SemVer, SemverFilter: all.SemverFilter, Tag: all.Tag}, plan.OCITarget{Range: "1.x", Filter: "a"}},
		{&sourcev1.OCIRepositoryRef{Tag: all.Tag}, plan.OCITarget{Tag: "v1"}},
	} {
		if got := plan.ReadOCIRef(tc.ref); got != tc.want {
			t.Errorf("%+v: got %+v, want %+v", tc.ref, got, tc.want)
		}
	}
	for revision, want := range map[string]string{
		"v1@" + digest: digest, digest: digest, "v1@sha256:1": "", "main@sha1:" + strings.Repeat("0", 40): "", "": "",
	} {
		if got := plan.OCIDigestOf(revision); got != want {
			t.Errorf("%q: %q, want %q", revision, got, want)
		}
	}
	if got := plan.OCIRevision("v1", digest); got != "v1@"+digest || plan.OCIRevision("", digest) != digest {
		t.Error(got)
	}
}

func TestNewestTag(t *testing.T) {
	tags := []string{"latest", "1.0.0", "v1.2.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "1.11.0_build", "3", "1.3.0-staging", "../4.0.0"}
	for name, tc := range map[string]struct {
		tags         []string
		expr, filter string
		chart        bool
		want         string
	}{
		"the highest, not the last in order": {tags, "*", "", false, "1.10.0"},
		"a range":                            {tags, "1.0.x", "", false, "1.0.0"},
		"equal versions, by name":            {tags, "~1.2.0", "", false, "v1.2.0"},
		"equal versions, in another order":   {[]string{"v1.2.0", "1.2.0"}, "*", "", false, "v1.2.0"},
		"prereleases when asked for":         {tags, ">=1.0.0-0", "", false, "2.0.0-rc.1"},
		"those that pass the filter":         {tags, ">=1.0.0-0", ".*-staging", false, "1.3.0-staging"},
		"a chart's metadata":                 {tags, "*", "", true, "1.11.0_build"},
		"a version with the v":               {tags, "1.2.0", "^v", false, "v1.2.0"},
		"none in the range":                  {tags, ">5", "", false, ""},
		"none at all":                        {nil, "*", "", false, ""},
		"no range":                           {tags, "new", "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, problem := plan.NewestTag(tc.tags, tc.expr, tc.filter, tc.chart)
			if got != tc.want || (problem == nil) != (tc.want != "") {
				t.Errorf("got %q, %v, want %q", got, problem, tc.want)
			}
		})
	}
}

func FuzzNewestTag(f *testing.F) {
	f.Add("v1.0.0 1.0.0 latest", "*", "", true)
	f.Add("1.0.0-rc.1 1_0", ">=1.0.0-0 <2", ".*rc.*", false)
	f.Fuzz(func(t *testing.T, tags, expr, filter string, chart bool) {
		list := strings.Fields(tags)
		got, problem := plan.NewestTag(list, expr, filter, chart)
		if problem == nil && !strings.Contains(" "+strings.Join(list, " ")+" ", " "+got+" ") {
			t.Errorf("%q is none of %v", got, list)
		}
	})
}

func TestSameOCIContent(t *testing.T) {
	one, two := "*.md", "*.txt"
	layer := func(mediaType, operation string) *sourcev1.OCILayerSelector {
		return &sourcev1.OCILayerSelector{MediaType: mediaType, Operation: operation}
	}
	type spec = sourcev1.OCIRepositorySpec
	type status = sourcev1.OCIRepositoryStatus
	for name, tc := range map[string]struct {
		spec   spec
		status status
		want   bool
	}{
		"nothing set":       {spec{}, status{}, true},
		"ignore the same":   {spec{Ignore: &one}, status{ObservedIgnore: &one}, true},
		"ignore changed":    {spec{Ignore: &one}, status{ObservedIgnore: &two}, false},
		"selector the same": {spec{LayerSelector: layer("a", "copy")}, status{ObservedLayerSelector: layer("a", "copy")}, true},
		"selector set":      {spec{LayerSelector: layer("a", "copy")}, status{}, false},
		"selector gone":     {spec{}, status{ObservedLayerSelector: layer("a", "copy")}, false},
		"another operation": {spec{LayerSelector: layer("a", "copy")}, status{ObservedLayerSelector: layer("a", "extract")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plan.SameOCIContent(tc.spec, tc.status); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

// TestS12AnnotationsAreBounded: a manifest's may be larger than an object in the cluster.
func TestS12AnnotationsAreBounded(t *testing.T) {
	if plan.OCIMetadata(nil) != nil {
		t.Error("a status gets an empty map")
	}
	annotations := map[string]string{
		"aaa":                               strings.Repeat("x", 60<<10),
		"huge":                              strings.Repeat("x", 1<<20),
		"org.opencontainers.image.revision": strings.Repeat("r", 10<<10),
		"zzz":                               "small",
	}
	got := plan.OCIMetadata(annotations)
	if len(got) != 2 || got["org.opencontainers.image.revision"] == "" || got["zzz"] != "small" {
		t.Errorf("%d annotations stay", len(got))
	}
	delete(annotations, "aaa")
	delete(annotations, "huge")
	if got := plan.OCIMetadata(annotations); len(got) != 2 {
		t.Errorf("%d of 2 stay", len(got))
	}
}
