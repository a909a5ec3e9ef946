package plan_test

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

func TestDecide(t *testing.T) {
	stored := plan.Observed{
		Stored: true, Upstream: "main@sha1:1", Artifact: &meta.Artifact{Revision: "main@sha1:1"}, SameContent: true,
	}
	for name, tc := range map[string]struct {
		reason string
		change func(*plan.Observed)
		want   plan.Decision
	}{
		"nothing new":        {"what is stored is what is asked for", func(*plan.Observed) {}, plan.Decision{Step: plan.Keep, Rule: plan.RuleUpToDate}},
		"suspended":          {"suspension comes first", func(o *plan.Observed) { o.Suspended, o.Problem = true, &plan.Problem{} }, plan.Decision{Step: plan.Rest, Rule: plan.RuleSuspended}},
		"problem":            {"the last good artifact stays", func(o *plan.Observed) { o.Problem = &plan.Problem{} }, plan.Decision{Step: plan.Fail, Rule: plan.RuleProblem}},
		"first time":         {"nothing is stored", func(o *plan.Observed) { o.Artifact, o.Stored = nil, false }, plan.Decision{Step: plan.Build, Rule: plan.RuleNotStored}},
		"file lost":          {"it is advertised", func(o *plan.Observed) { o.Stored = false }, plan.Decision{Step: plan.Build, Rule: plan.RuleNotStored}},
		"new commit":         {"the branch moved", func(o *plan.Observed) { o.Upstream = "main@sha1:2" }, plan.Decision{Step: plan.Build, Rule: plan.RuleRevisionMoved}},
		"same commit by tag": {"the revision is another", func(o *plan.Observed) { o.Upstream = "v1@sha1:1" }, plan.Decision{Step: plan.Build, Rule: plan.RuleRevisionMoved}},
		"rules changed":      {"other content", func(o *plan.Observed) { o.SameContent = false }, plan.Decision{Step: plan.Build, Rule: plan.RuleContentRulesChanged}},
	} {
		t.Run(name, func(t *testing.T) {
			o := stored
			tc.change(&o)
			if got := plan.Decide(o); got != tc.want {
				t.Errorf("got %s, want %s: %s", got, tc.want, tc.reason)
			}
		})
	}
}

func TestSameContent(t *testing.T) {
	one, two, head, tag := "*.md", "*.txt", sourcev1.ModeGitHEAD, sourcev1.ModeGitTag
	type object = sourcev1.GitRepository
	verified := func(generation int64, status metav1.ConditionStatus) []metav1.Condition {
		return []metav1.Condition{{Type: sourcev1.SourceVerifiedCondition, Status: status, ObservedGeneration: generation}}
	}
	include := []sourcev1.GitRepositoryInclude{{GitRepositoryRef: meta.LocalObjectReference{Name: "lib"}, ToPath: "lib"}}
	artifact := func(revision, digest string) []*meta.Artifact {
		return []*meta.Artifact{{Revision: revision, Digest: digest}}
	}
	for name, tc := range map[string]struct {
		set      func(o *object)
		included []*meta.Artifact
		want     bool
	}{
		"nothing set":    {func(*object) {}, nil, true},
		"ignore set":     {func(o *object) { o.Spec.Ignore = &one }, nil, false},
		"ignore same":    {func(o *object) { o.Spec.Ignore, o.Status.ObservedIgnore = &one, &one }, nil, true},
		"ignore changed": {func(o *object) { o.Spec.Ignore, o.Status.ObservedIgnore = &one, &two }, nil, false},
		"sparse set":     {func(o *object) { o.Spec.SparseCheckout = []string{"a"} }, nil, false},
		"had submodules": {func(o *object) { o.Status.ObservedRecurseSubmodules = true }, nil, false},
		"submodules set": {func(o *object) { o.Spec.RecurseSubmodules = true }, nil, false},
		"had includes":   {func(o *object) { o.Status.ObservedInclude = include }, nil, false},
		"includes set":   {func(o *object) { o.Spec.Include = include }, artifact("a", "b"), false},
		"includes same": {func(o *object) {
			o.Spec.Include, o.Status.ObservedInclude, o.Status.IncludedArtifacts = include, include, artifact("a", "b")
		}, artifact("a", "b"), true},
		"included moved": {func(o *object) {
			o.Spec.Include, o.Status.ObservedInclude, o.Status.IncludedArtifacts = include, include, artifact("a", "b")
		}, artifact("c", "b"), false},
		"included made anew": {func(o *object) {
			o.Spec.Include, o.Status.ObservedInclude, o.Status.IncludedArtifacts = include, include, artifact("a", "b")
		}, artifact("a", "c"), false},
		"not verified yet": {func(o *object) { o.Spec.Verification = &sourcev1.GitRepositoryVerification{} }, nil, false},
		"verified": {func(o *object) {
			o.Spec.Verification, o.Status.SourceVerificationMode = &sourcev1.GitRepositoryVerification{Mode: "head"}, &head
			o.Generation, o.Status.Conditions = 2, verified(2, metav1.ConditionTrue)
		}, nil, true},
		"another mode": {func(o *object) {
			o.Spec.Verification, o.Status.SourceVerificationMode = &sourcev1.GitRepositoryVerification{Mode: "HEAD"}, &tag
			o.Generation, o.Status.Conditions = 2, verified(2, metav1.ConditionTrue)
		}, nil, false},
		"another spec, such as another Secret": {func(o *object) {
			o.Spec.Verification, o.Status.SourceVerificationMode = &sourcev1.GitRepositoryVerification{}, &head
			o.Generation, o.Status.Conditions = 3, verified(2, metav1.ConditionTrue)
		}, nil, false},
		"found bad": {func(o *object) {
			o.Spec.Verification, o.Status.SourceVerificationMode = &sourcev1.GitRepositoryVerification{}, &head
			o.Generation, o.Status.Conditions = 2, verified(2, metav1.ConditionFalse)
		}, nil, false},
		"not asked for any more": {func(o *object) { o.Status.SourceVerificationMode = &head }, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			var obj object
			tc.set(&obj)
			if got := plan.SameContent(&obj, tc.included); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

func TestDecideChart(t *testing.T) {
	stored := plan.ChartObserved{
		Observed: plan.Observed{Stored: true, Upstream: "a", Artifact: &meta.Artifact{}}, Generation: 2,
		Status: sourcev1.HelmChartStatus{
			ObservedGeneration: 2, ObservedSourceArtifactRevision: "a",
			Conditions: []metav1.Condition{{Type: sourcev1.ArtifactInStorageCondition, ObservedGeneration: 2}},
		},
	}
	for name, tc := range map[string]struct {
		change  func(*plan.ChartObserved)
		want    plan.Decision
		rebuild bool
	}{
		"nothing new":   {func(*plan.ChartObserved) {}, plan.Decision{Step: plan.Keep, Rule: plan.RuleUpToDate}, false},
		"suspended":     {func(o *plan.ChartObserved) { o.Suspended = true }, plan.Decision{Step: plan.Rest, Rule: plan.RuleSuspended}, false},
		"problem":       {func(o *plan.ChartObserved) { o.Problem = &plan.Problem{} }, plan.Decision{Step: plan.Fail, Rule: plan.RuleProblem}, false},
		"source moved":  {func(o *plan.ChartObserved) { o.Upstream = "b" }, plan.Decision{Step: plan.Build, Rule: plan.RuleRevisionMoved}, false},
		"spec changed":  {func(o *plan.ChartObserved) { o.Generation = 3 }, plan.Decision{Step: plan.Build, Rule: plan.RuleContentRulesChanged}, true},
		"was stalled":   {func(o *plan.ChartObserved) { o.Generation, o.Status.ObservedGeneration = 3, 3 }, plan.Decision{Step: plan.Build, Rule: plan.RuleContentRulesChanged}, true},
		"file lost":     {func(o *plan.ChartObserved) { o.Stored = false }, plan.Decision{Step: plan.Build, Rule: plan.RuleNotStored}, true},
		"never started": {func(o *plan.ChartObserved) { o.Artifact, o.Status = nil, sourcev1.HelmChartStatus{} }, plan.Decision{Step: plan.Build, Rule: plan.RuleNotStored}, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := stored
			tc.change(&o)
			if got := plan.DecideChart(o); got != tc.want || plan.RebuildChart(o) != tc.rebuild {
				t.Errorf("got %s, rebuild %t, want %s, %t", got, plan.RebuildChart(o), tc.want, tc.rebuild)
			}
		})
	}
}

func TestChartVersion(t *testing.T) {
	const revision = "main@sha1:0123456789abcdef0123456789abcdef01234567"
	for name, tc := range map[string]struct {
		spec    sourcev1.HelmChartSpec
		version string
		want    string
	}{
		"plain":           {version: "1.2.3", want: "1.2.3"},
		"revision":        {spec: sourcev1.HelmChartSpec{ReconcileStrategy: "Revision"}, version: "1.2.3", want: "1.2.3+0123456789ab"},
		"values":          {spec: sourcev1.HelmChartSpec{ValuesFiles: []string{"a"}}, version: "1.2.3-rc.1", want: "1.2.3-rc.1+7"},
		"both":            {spec: sourcev1.HelmChartSpec{ReconcileStrategy: "Revision", ValuesFiles: []string{"a"}}, version: "1.2.3", want: "1.2.3+0123456789ab.7"},
		"metadata before": {spec: sourcev1.HelmChartSpec{ValuesFiles: []string{"a"}}, version: "1.2.3+x", want: "1.2.3+7"},
		"no version":      {version: "new"},
	} {
		t.Run(name, func(t *testing.T) {
			got, problem := plan.ChartVersion(tc.spec, 7, tc.version, revision)
			if got != tc.want || (problem == nil) != (tc.want != "") {
				t.Errorf("got %q, %v, want %q", got, problem, tc.want)
			}
		})
	}
}

func TestSchedule(t *testing.T) {
	for spread, want := range map[float64]time.Duration{0: 95 * time.Second, 0.5: 100 * time.Second, 1: 105 * time.Second} {
		if got := plan.Jitter(100*time.Second, 5, spread); got != want {
			t.Errorf("jitter at %v: %s, want %s", spread, got, want)
		}
	}
	for failures, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 1000: 10 * time.Second,
	} {
		if got := plan.Backoff(time.Second, 10*time.Second, failures); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
}
