package report_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/retry"
)

const yes, no = metav1.ConditionTrue, metav1.ConditionFalse

// attempts are what one object went through, and what is logged of it.
type attempts struct {
	reporter *report.Reporter
	lines    []string
}

// newAttempts are at an object that is gone by the time its status is written: that is no error, and all else goes on.
func newAttempts(t *testing.T) *attempts {
	t.Helper()
	scheme, err := process.Scheme(sourcev1.AddToScheme)
	if err != nil {
		t.Fatal(err)
	}
	return &attempts{reporter: &report.Reporter{
		Client:   fake.NewClientBuilder().WithScheme(scheme).Build(),
		Events:   record.NewFakeRecorder(100),
		Schedule: report.Schedule{Retry: &retry.Limiter{Min: time.Second, Max: time.Minute}, Dependency: 30 * time.Second},
	}}
}

// end ends an attempt and returns what was logged of it.
func (a *attempts) end(t *testing.T, e report.Ending) ([]string, ctrl.Result) {
	t.Helper()
	a.lines = nil
	log := funcr.New(func(_, args string) { a.lines = append(a.lines, args) }, funcr.Options{Verbosity: 1})
	result, err := a.reporter.Finish(logr.NewContext(context.Background(), log), e)
	if err != nil {
		t.Fatalf("a problem is no error: %v", err)
	}
	return a.lines, result
}

// ending is an attempt that brings an object from one state to another.
func ending(step plan.Step, rule plan.Rule, was, is report.Object, p *plan.Problem) report.Ending {
	return report.Ending{
		Before: was, After: is, Decision: plan.Decision{Step: step, Rule: rule}, Problem: p,
		Interval: time.Hour, Took: 1234567 * time.Microsecond,
	}
}

// TestLogOfAStory: an operator who reads nothing else knows what was fetched, what fails and why, and that it is over. What
// was said is not said again.
func TestLogOfAStory(t *testing.T) {
	size := int64(420)
	good, bad := state(yes, "stored artifact for revision 'main@sha1:1'", 10, "sha256:a", 10), state(no, "down", 20, "sha256:a", 10)
	good.Status.Artifact.Size = &size
	fetched := ending(plan.Build, plan.RuleRevisionMoved, state(yes, "stored", 1, "sha256:0", 1), good, nil)
	fetched.Made = true
	down := func(was *sourcev1.GitRepository, message string) report.Ending {
		e := ending(plan.Fail, plan.RuleProblem, was, bad, plan.FetchProblem("GitOperationFailed", "%s", message))
		e.Revision = "main@sha1:2"
		return e
	}
	lost := fetched
	lost.Before, lost.Decision.Rule, lost.Collected = good, plan.RuleNotStored, 2
	restored := down(bad, "down")
	restored.Restored = true

	object := newAttempts(t)
	for i, step := range []struct {
		reason string
		ending report.Ending
		want   []string
	}{
		{"there is news", fetched, []string{
			`"level"=1 "msg"="decided" "step"="Build" "rule"="RevisionMoved"`,
			`"level"=0 "msg"="fetched main@sha1:1 in 1.235s" "revision"="main@sha1:1" "digest"="sha256:a" "duration"="1.235s" "bytes"=420`,
		}},
		{"a poll without news", ending(plan.Keep, plan.RuleUpToDate, good, good, nil), []string{`"level"=1 "msg"="decided"`}},
		{"the first failure", down(good, "down"), []string{
			`"level"=1 "msg"="decided" "step"="Fail" "rule"="Problem"`,
			`"level"=0 "msg"="failed to fetch: down" "reason"="GitOperationFailed" "problem"="down" "revision"="main@sha1:2" "attempt"=1 "after"="1s"`,
		}},
		{"the same, tried again", down(bad, "down"), []string{
			`"level"=1 "msg"="decided"`, `"level"=1 "msg"="failed to fetch: down" "reason"="GitOperationFailed" "problem"="down" "revision"="main@sha1:2" "attempt"=2 "after"="2s"`,
		}},
		{"another", down(bad, "gone"), []string{`"level"=1 "msg"="decided"`, `"level"=0 "msg"="failed to fetch: gone"`}},
		{"meanwhile the file was lost", restored, []string{
			`"level"=1 "msg"="decided"`, `"level"=0 "msg"="restored the lost file of main@sha1:1"`, `"level"=0 "msg"="failed to fetch: down"`,
		}},
		{"it is over", ending(plan.Keep, plan.RuleUpToDate, bad, good, nil), []string{
			`"level"=1 "msg"="decided"`, `"level"=0 "msg"="recovered: stored artifact for revision 'main@sha1:1'" "revision"="main@sha1:1"`,
		}},
		{"and stays so", ending(plan.Keep, plan.RuleUpToDate, good, good, nil), []string{`"level"=1 "msg"="decided"`}},
		{"the volume was lost", lost, []string{
			`"level"=1 "msg"="decided" "step"="Build" "rule"="NotStored"`, `"level"=1 "msg"="garbage collected 2 artifacts"`,
			`"level"=0 "msg"="fetched main@sha1:1 again in 1.235s"`,
		}},
		{"suspended", ending(plan.Rest, plan.RuleSuspended, good, good, nil), []string{`"level"=1 "msg"="decided" "step"="Rest" "rule"="Suspended"`}},
	} {
		got, _ := object.end(t, step.ending)
		compareLines(t, fmt.Sprintf("%d: %s", i, step.reason), got, step.want)
	}
}

// TestLogOfOneAttempt are the endings that do not come in that story.
func TestLogOfOneAttempt(t *testing.T) {
	bad := state(no, "down", 20, "sha256:a", 10)
	stalled := plan.Validate(sourcev1.GitRepositorySpec{URL: "git@example.com:app"})
	chart := &sourcev1.HelmChart{}
	chart.Namespace, chart.Name = "apps", "web"
	chart.Status.ObservedChartName = "web"
	chart.Status.Artifact = &meta.Artifact{Revision: "1.2.3", Digest: "sha256:c"}
	packaged := ending(plan.Build, plan.RuleNotStored, &sourcev1.HelmChart{}, chart, nil)
	packaged.Done, packaged.Source = "packaged chart web@1.2.3", "GitRepository/apps/app"
	packaged.Made = true
	for name, tc := range map[string]struct {
		reason string
		ending report.Ending
		want   string
		after  time.Duration
	}{
		"stalled": {
			"no time is named, for it is not tried again", ending(plan.Fail, plan.RuleProblem, bad, bad, stalled),
			`"level"=0 "msg"="failed to fetch: ` + stalled.Message + `" "reason"="URLInvalid" "problem"="` + stalled.Message + `"`, 0,
		},
		"awaited": {
			"another object has to come first",
			ending(plan.Fail, plan.RuleProblem, bad, bad, plan.AwaitedProblem("SourceUnavailable", "it does not exist")),
			`"level"=0 "msg"="failed to fetch: it does not exist" "reason"="SourceUnavailable" "problem"="it does not exist" "after"="30s"`, 30 * time.Second,
		},
		"transient": {
			"every source comes through it", ending(plan.Fail, plan.RuleProblem, bad, bad, plan.TransientProblem("NoSourceArtifact", "soon")),
			`"level"=1 "msg"="postponed: soon" "reason"="NoSourceArtifact" "after"="2s"`, 2 * time.Second,
		},
		"volume full": {
			"whoever operates the controller has to act",
			ending(plan.Build, plan.RuleNotStored, bad, bad, plan.StorageProblem("ArchiveOperationFailed", "store it: %v", fmt.Errorf("x: %w", syscall.ENOSPC))),
			`"msg"="failed to store the artifact" "error"="store it: x: no space left on device"`, time.Second,
		},
		"build": {
			"a chart", ending(plan.Build, plan.RuleNotStored, bad, bad, plan.BuildProblem("ChartPackageError", "no Chart.yaml")),
			`"level"=0 "msg"="failed to package the chart: no Chart.yaml" "reason"="ChartPackageError" "problem"="no Chart.yaml" "attempt"=1 "after"="1s"`, time.Second,
		},
		"packaged": {
			"with its source", packaged,
			`"level"=0 "msg"="packaged chart web@1.2.3 in 1.235s" "revision"="1.2.3" "digest"="sha256:c" "duration"="1.235s" "source"="GitRepository/apps/app"`, time.Hour,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, result := newAttempts(t).end(t, tc.ending)
			compareLines(t, tc.reason, got, []string{`"level"=1 "msg"="decided"`, tc.want})
			if result.RequeueAfter != tc.after {
				t.Errorf("%s: looked at again after %s, want %s", tc.reason, result.RequeueAfter, tc.after)
			}
		})
	}
}

// TestRecoveryAfterARestart: the process that logged the failure is gone; that it is over is news all the same.
func TestRecoveryAfterARestart(t *testing.T) {
	e := ending(plan.Keep, plan.RuleUpToDate, state(no, "down", 20, "sha256:a", 10), state(yes, "stored", 30, "sha256:a", 10), nil)
	got, _ := newAttempts(t).end(t, e)
	compareLines(t, "it was not ready", got, []string{`"level"=1 "msg"="decided"`, `"level"=0 "msg"="recovered: stored"`})
}

func compareLines(t *testing.T, reason string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: logged\n%s\nwant\n%s", reason, strings.Join(got, "\n"), strings.Join(want, "\n"))
		return
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%s: logged\n%s\nwant\n%s", reason, got[i], want[i])
		}
	}
}
