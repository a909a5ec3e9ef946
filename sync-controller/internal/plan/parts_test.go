package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func TestBlocked(t *testing.T) {
	ready := Dependency{Name: "d", Found: true, Generation: 2, Observed: 2, Ready: true}
	for name, tc := range map[string]struct {
		reason string
		change func(*Dependency)
		why    string
	}{
		"ready":                    {"nothing is missing", func(*Dependency) {}, ""},
		"missing":                  {"a name that leads nowhere blocks", func(d *Dependency) { d.Found = false }, "not found"},
		"old generation":           {"a Ready of an older spec does not count", func(d *Dependency) { d.Observed = 1 }, "is not ready"},
		"not ready":                {"Ready has to be True", func(d *Dependency) { d.Ready = false }, "is not ready"},
		"other revision":           {"the same source at another revision is behind", func(d *Dependency) { d.SameSource, d.Revision, d.Want = true, "a", "b" }, "revision b"},
		"same revision":            {"the same source at the same revision is up to date", func(d *Dependency) { d.SameSource, d.Revision, d.Want = true, "b", "b" }, ""},
		"other source":             {"revisions of different sources say nothing", func(d *Dependency) { d.Revision, d.Want = "a", "b" }, ""},
		"expression holds":         {"readyExpr replaces the built-in check", func(d *Dependency) { d.Ready, d.Expr, d.Holds = false, "e", true }, ""},
		"expression does not":      {"and can block what is Ready", func(d *Dependency) { d.Expr = "e" }, "according to readyExpr"},
		"expression cannot be run": {"a broken expression blocks and says why", func(d *Dependency) { d.Expr, d.Trouble = "e", "no such key" }, "no such key"},
	} {
		t.Run(name, func(t *testing.T) {
			d := ready
			tc.change(&d)
			blocked := Blocked([]Dependency{d})
			if tc.why == "" {
				if len(blocked) > 0 {
					t.Errorf("%s: blocked: %s", tc.reason, blocked[0].Why)
				}
				return
			}
			if len(blocked) != 1 || !strings.Contains(blocked[0].Why, tc.why) {
				t.Errorf("%s: got %v, want %q", tc.reason, blocked, tc.why)
			}
		})
	}
}

func TestCycle(t *testing.T) {
	for name, tc := range map[string]struct {
		reason  string
		depends map[string][]string
		want    []string
	}{
		"none":          {"a diamond is no cycle", map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}, nil},
		"itself":        {"the shortest of all", map[string][]string{"a": {"a"}}, []string{"a", "a"}},
		"two ways":      {"the shorter one is told", map[string][]string{"a": {"b"}, "b": {"c", "a"}, "c": {"a"}}, []string{"a", "b", "a"}},
		"long":          {"however far", map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"a"}}, []string{"a", "b", "c", "d", "a"}},
		"somebody's":    {"a cycle that others are in is theirs to tell", map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"b"}}, nil},
		"leads nowhere": {"what does not exist depends on nothing", map[string][]string{"a": {"missing"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Cycle("a", func(name string) []string { return tc.depends[name] }); !slices.Equal(got, tc.want) {
				t.Errorf("%s: %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	id := func(name string) inventory.Entry {
		return inventory.Entry{ID: inventory.ID{Namespace: "n", Name: name}, Version: "v1"}
	}
	remove, release := Split([]inventory.Entry{id("mine"), id("theirs")}, func(i inventory.ID) bool { return i.Name == "theirs" })
	if len(remove) != 1 || remove[0].ID.Name != "mine" || len(release) != 1 || release[0].ID.Name != "theirs" {
		t.Errorf("remove %v, release %v", remove, release)
	}
}

func TestLagging(t *testing.T) {
	got := Lagging([]Sibling{
		{Name: "b", Revision: "old"},
		{Name: "a"},
		{Name: "suspended", Rests: true},
		{Name: "there", Revision: "new"},
	}, "new")
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
}

func TestConditions(t *testing.T) {
	type row struct {
		Type, Status, Reason, Message string
		ObservedGeneration            int64
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tc := range map[string]struct {
		reason   string
		verdict  Verdict
		want     []row
		observed bool
	}{
		"success": {
			"Ready alone, and the generation counts as observed",
			Verdict{Ready: "True", Reason: ReasonSucceeded, Message: "m"},
			[]row{{"Ready", "True", ReasonSucceeded, "m", 7}}, true,
		},
		"success with checks": {
			"Healthy says that checks passed",
			Verdict{Ready: "True", Reason: ReasonSucceeded, Message: "m", Checks: true, Health: "True"},
			[]row{{"Ready", "True", ReasonSucceeded, "m", 7}, {"Healthy", "True", meta.SucceededReason, "Health check passed", 7}}, true,
		},
		"failure": {
			"a failure is retried, and the generation is not observed",
			Verdict{Ready: "False", Reason: ReasonApplyFailed, Message: "m"},
			[]row{{"Ready", "False", ReasonApplyFailed, "m", 7}, {"Reconciling", "True", "ProgressingWithRetry", "m", 7}}, false,
		},
		"stall": {
			"a stall is not retried",
			Verdict{Ready: "False", Reason: ReasonAccessDenied, Message: "m", Stalled: true},
			[]row{{"Ready", "False", ReasonAccessDenied, "m", 7}, {"Stalled", "True", ReasonAccessDenied, "m", 7}}, true,
		},
		"progress": {
			"kstatus calls Unknown with Reconciling in progress",
			Verdict{Ready: "Unknown", Reason: ReasonProgressing, Message: "m"},
			[]row{{"Ready", "Unknown", ReasonProgressing, "m", 7}, {"Reconciling", "True", "Progressing", "m", 7}}, false,
		},
		"health failure": {
			"Healthy says what is wrong",
			Verdict{Ready: "False", Reason: ReasonHealthCheckFailed, Message: "m", Checks: true, Health: "False"},
			[]row{
				{"Ready", "False", ReasonHealthCheckFailed, "m", 7}, {"Reconciling", "True", "ProgressingWithRetry", "m", 7},
				{"Healthy", "False", ReasonHealthCheckFailed, "m", 7},
			}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			list := []metav1.Condition{
				{Type: "Stalled", Status: "Unknown", Reason: "x"}, {Type: "Reconciling", Status: "Unknown", Reason: "x"},
			}
			observed := tc.verdict.Conditions(&list, 7, now)
			var got []row
			for _, c := range list {
				if !c.LastTransitionTime.Time.Equal(now) {
					t.Errorf("%s: transition of %s at %s", tc.reason, c.Type, c.LastTransitionTime)
				}
				got = append(got, row{c.Type, string(c.Status), c.Reason, c.Message, c.ObservedGeneration})
			}
			sorted := cmpopts.SortSlices(func(a, b row) bool { return a.Type < b.Type })
			if diff := cmp.Diff(tc.want, got, sorted); diff != "" || observed != tc.observed {
				t.Errorf("%s: observed %t (-want +got)\n%s", tc.reason, observed, diff)
			}
			before := slices.Clone(list)
			tc.verdict.Conditions(&list, 7, now.Add(time.Minute))
			if diff := cmp.Diff(before, list); diff != "" {
				t.Errorf("the same verdict a minute later is no news (-before +after)\n%s", diff)
			}
		})
	}
}

func TestUnsupported(t *testing.T) {
	served := func() *kustomizev1.Kustomization {
		return &kustomizev1.Kustomization{Spec: kustomizev1.KustomizationSpec{
			SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "r"},
		}}
	}
	for name, tc := range map[string]struct {
		reason string
		change func(*kustomizev1.KustomizationSpec)
		want   []string
	}{
		"plain":      {"all is served", func(*kustomizev1.KustomizationSpec) {}, nil},
		"kubeConfig": {"other clusters are not", func(s *kustomizev1.KustomizationSpec) { s.KubeConfig = &meta.KubeConfigReference{} }, []string{"spec.kubeConfig"}},
		"ignore":     {"ignore rules are not", func(s *kustomizev1.KustomizationSpec) { s.Ignore = []kustomizev1.IgnoreRule{{}} }, []string{"spec.ignore"}},
		"source":     {"every kind of source is", func(s *kustomizev1.KustomizationSpec) { s.SourceRef.Kind = "Bucket" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ks := served()
			tc.change(&ks.Spec)
			if got := Unsupported(ks); !slices.Equal(got, tc.want) {
				t.Errorf("%s: got %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}
