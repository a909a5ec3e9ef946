package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// TestRules: for each rule a state in which it decides, and what it decides.
func TestRules(t *testing.T) {
	blocked := func(s *State) {
		s.Dependencies = []Dependency{{Name: "Kustomization/apps/db"}}
		s.Attempt.Age = Patience
	}
	awaiting := func(h *Health) func(*State) {
		return both(running(Pruned), func(s *State) { s.Subject.Checks, s.Health = true, h })
	}
	releasing := func(r Release) func(*State) {
		return both(running(Started), func(s *State) { s.Subject.Releases, s.Subject.Corrects, s.Release = true, false, r })
	}
	deleting := func(s *State) { s.Subject.Deleting = true }
	suspended := func(s *State) { s.Subject.Suspended = true }
	cases := map[Rule]struct {
		step   Step
		change func(*State)
	}{
		RuleLetGo:             {Idle, both(deleting, func(s *State) { s.Subject.Finalizer = false })},
		RuleDeletedSuspended:  {Finalize, both(deleting, suspended)},
		RuleDeletionPolicy:    {Finalize, deleting},
		RuleFinalizerMissing:  {AddFinalizer, func(s *State) { s.Subject.Finalizer = false }},
		RuleAskedSuspended:    {Answer, both(suspended, func(s *State) { s.Subject.Token = "t" })},
		RuleSuspended:         {Idle, suspended},
		RuleFieldNotServed:    {Fail, func(s *State) { s.Subject.Unsupported = []string{"spec.kubeConfig"} }},
		RuleInvalidExpression: {Fail, func(s *State) { s.Subject.Invalid = "x" }},
		RuleFluxRunning:       {Fail, func(s *State) { s.FluxRunning = []string{"kustomize-controller"} }},
		RuleDrifted:           {Heal, func(s *State) { s.Drifted = true }},
		RuleWatchesNotListed:  {Wait, both(running(Started), verifies)},
		RuleChangedUnwatched:  {CatchUp, func(s *State) { s.Missed, s.Render = true, nil }},
		RuleNotRendered:       {Wait, func(s *State) { s.Render = nil }},
		RuleRenderUnfinished: {Fail, func(s *State) {
			s.Render = notRendered("Progressing", "x")
			s.Render.Status.Conditions[0].Status = metav1.ConditionUnknown
		}},
		RuleRenderFailed:        {Fail, func(s *State) { s.Render = notRendered(ReasonBuildFailed, "x") }},
		RuleGoalMoved:           {Begin, func(s *State) { s.Render = rendered(newRevision, newTag) }},
		RuleDependenciesReady:   {Begin, failed(ReasonDependency, time.Second)},
		RuleRetryDue:            {Begin, failed(ReasonApplyFailed, time.Minute)},
		RuleUnverified:          {Begin, func(s *State) { s.Attempt.Verified = false }},
		RuleIntervalPassed:      {Begin, func(s *State) { s.Attempt.SinceEnded = time.Hour; s.Subject.Corrects = false }},
		RuleHealthMoved:         {CheckHealth, func(s *State) { s.HealthMoved, s.Subject.Checks = true, true }},
		RuleHealthRecovered:     {Succeed, both(failed(ReasonHealthCheckFailed, time.Second), func(s *State) { s.Health = &Health{State: v1alpha1.HealthHealthy} })},
		RuleReported:            {Idle, func(*State) {}},
		RuleOutcomeUnreported:   {Succeed, func(s *State) { s.Status.Revision = "" }},
		RuleDependenciesAwaited: {Wait, both(running(Started), blocked, func(s *State) { s.Attempt.Age = 0 })},
		RuleDependencyCycle:     {Fail, both(running(Started), blocked, func(s *State) { s.Cycle = []string{"a", "a"} })},
		RuleDependenciesUnready: {Fail, both(running(Started), blocked)},
		RuleOnlyMoved:           {Succeed, both(running(Started), func(s *State) { s.Attempt.Cause = Moved })},
		RuleStorageUnknown:      {Compare, releasing(Release{})},
		RuleReleaseBlocked:      {Fail, releasing(Release{Known: true, Blocked: "x"})},
		RuleStorageBroken:       {Repair, releasing(Release{Known: true, Repair: "x"})},
		RuleReleaseInSync:       {Succeed, releasing(Release{Known: true, InSync: true})},
		RuleReleaseNotRendered:  {AskRelease, releasing(Release{Known: true, Due: true})},
		RuleNotApplied:          {Apply, running(Started)},
		RuleNothingStale:        {SkipPrune, running(Applied)},
		RuleStale:               {Prune, both(running(Applied), func(s *State) { s.Stale = true })},
		RuleSiblingsLag:         {Wait, both(running(Applied), func(s *State) { s.Stale, s.Lagging = true, []string{"x"} })},
		RuleHealthUnknown:       {CheckHealth, awaiting(nil)},
		RuleHealthFailed:        {Fail, awaiting(&Health{State: v1alpha1.HealthFailed})},
		RuleHealthTimeout:       {Fail, both(awaiting(&Health{State: v1alpha1.HealthProgressing}), func(s *State) { s.Attempt.SinceApplied = time.Hour })},
		RuleHealthAwaited:       {Wait, awaiting(&Health{State: v1alpha1.HealthProgressing})},
		RuleDone:                {Succeed, running(Pruned)},
	}
	for _, declared := range declaredRules(t) {
		if _, listed := cases[declared]; !listed {
			t.Errorf("no state is given in which %s decides", declared)
		}
	}
	for rule, tc := range cases {
		t.Run(string(rule), func(t *testing.T) {
			s := settled()
			tc.change(&s)
			if a := Decide(s); a.Rule != rule || a.Step != tc.step {
				t.Errorf("%s decides %s, want %s", a.Rule, a.Step, tc.step)
			}
		})
	}
}

// TestEveryBranchHasARule reads the sources: a step that is decided without a rule says nothing in a log.
func TestEveryBranchHasARule(t *testing.T) {
	branches := 0
	eachSource(t, func(fset *token.FileSet, n ast.Node) {
		literal, ok := n.(*ast.CompositeLit)
		if !ok || !isAction(literal.Type) || !hasField(literal, "Step") {
			return
		}
		branches++
		if !hasField(literal, "Rule") {
			t.Errorf("%s: a step without a rule", fset.Position(literal.Pos()))
		}
	})
	if branches < 30 {
		t.Errorf("only %d branches were found", branches)
	}
}

func isAction(typ ast.Expr) bool {
	name, ok := typ.(*ast.Ident)
	return ok && name.Name == "Action"
}

func hasField(literal *ast.CompositeLit, field string) bool {
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if key, isName := pair.Key.(*ast.Ident); isName && key.Name == field {
			return true
		}
	}
	return false
}

// declaredRules are the constants whose names begin with Rule.
func declaredRules(t *testing.T) []Rule {
	t.Helper()
	var rules []Rule
	eachSource(t, func(_ *token.FileSet, n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Rule") {
			return
		}
		literal, isLiteral := spec.Values[0].(*ast.BasicLit)
		if !isLiteral {
			return
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, Rule(value))
	})
	return rules
}

func eachSource(t *testing.T, visit func(*token.FileSet, ast.Node)) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			visit(fset, n)
			return true
		})
	}
}
