package events

import (
	"maps"
	"slices"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// told is a bus that remembers.
type told struct {
	ids    []string
	events []event.Event
}

func (t *told) Announce(id string, ev event.Event) {
	t.ids, t.events = append(t.ids, id), append(t.events, ev)
}

// lines are the events as "info Reason: message".
func (t *told) lines() []string {
	var lines []string
	for _, ev := range t.events {
		lines = append(lines, ev.Severity+" "+ev.Reason+": "+ev.Message)
	}
	return lines
}

// moment is when everything happens.
func moment() time.Time { return time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC) }

// emitter tells to a bus and to core/v1; every Event there is in the recorder's channel.
func emitter(kind subject.Kind) (*Emitter, *told, *record.FakeRecorder) {
	bus, core := &told{}, record.NewFakeRecorder(100)
	return &Emitter{Kind: kind, Recorder: core, Announcer: bus, Dependency: 30 * time.Second, Now: moment}, bus, core
}

// kustomization is one whose latest attempt took 1.2 s and ended at the given revision.
func kustomization(status metav1.ConditionStatus, reason, message, revision string) subject.Subject {
	ks := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{UID: "1", Namespace: "apps", Name: "web"}}
	ks.Spec.Interval.Duration = 10 * time.Minute
	ks.Status.LastAttemptedRevision = revision
	if status != "" {
		ks.Status.Conditions = []metav1.Condition{{Type: fluxmeta.ReadyCondition, Status: status, Reason: reason, Message: message}}
		ks.Status.History.Upsert("tag", moment(), 1200*time.Millisecond, reason, nil)
	}
	return subject.Kustomizations().Of(ks)
}

func helmRelease(ready bool) subject.Subject {
	hr := &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{UID: "2", Namespace: "apps", Name: "web"}}
	hr.Status.LastAttemptedRevision = "1.2.3"
	hr.Status.LastAttemptedConfigDigest = "sha256:values"
	hr.Status.History = helmv2.Snapshots{{Name: "web", Namespace: "apps", Version: 4, ChartName: "web", ChartVersion: "1.2.3", AppVersion: "9"}}
	if ready {
		hr.Status.Conditions = []metav1.Condition{{Type: fluxmeta.ReadyCondition, Status: "True", Reason: "UpgradeSucceeded", Message: "upgraded"}}
	}
	return subject.HelmReleases().Of(hr)
}

func TestOutcome(t *testing.T) {
	ready := func(revision string) subject.Subject {
		return kustomization("True", plan.ReasonSucceeded, "Applied revision: "+revision, revision)
	}
	success := plan.Verdict{Ready: metav1.ConditionTrue, Reason: plan.ReasonSucceeded, Message: "Applied revision: b"}
	checked := success
	checked.Checks = true
	failed := kustomization("False", plan.ReasonBuildFailed, "bad", "b")
	blocked := kustomization("False", plan.ReasonDependency, "dependency 'Kustomization/apps/db' is not ready", "b")
	const finished = "info ReconciliationSucceeded: Reconciliation finished in 1.2s, next run in 10m0s"
	for name, tt := range map[string]struct {
		reason  string
		kind    subject.Kind
		outcome Outcome
		bus     []string
		core    int
	}{
		"first": {
			"the objects, and that it finished", subject.Kustomizations(),
			Outcome{Before: kustomization("", "", "", ""), After: ready("b"), Verdict: success, Changed: []string{"ConfigMap/apps/a created"}},
			[]string{"info Progressing: ConfigMap/apps/a created", finished}, 1,
		},
		"checked": {
			"that a new revision is healthy is told, to the bus alone", subject.Kustomizations(),
			Outcome{Before: ready("a"), After: ready("b"), Verdict: checked, Changed: []string{"ConfigMap/apps/a configured"}, Waited: 3100 * time.Millisecond},
			[]string{"info Progressing: ConfigMap/apps/a configured", "info Progressing: Health check passed in 3.1s", finished}, 1,
		},
		"healed": {
			"the same revision was healthy before", subject.Kustomizations(),
			Outcome{Before: ready("b"), After: ready("b"), Verdict: checked, Changed: []string{"ConfigMap/apps/a configured"}},
			[]string{"info Progressing: ConfigMap/apps/a configured", finished}, 1,
		},
		"moved": {
			"nothing changed: no core/v1 Event", subject.Kustomizations(),
			Outcome{Before: ready("a"), After: ready("b"), Verdict: success}, []string{finished}, 0,
		},
		"recovered": {
			"the end of a failure is for people, too", subject.Kustomizations(),
			Outcome{Before: failed, After: ready("b"), Verdict: success},
			[]string{"info ReconciliationSucceeded: recovered: Applied revision: b", finished}, 1,
		},
		"failed": {
			"an error", subject.Kustomizations(),
			Outcome{Before: ready("a"), After: failed, Verdict: plan.Verdict{Ready: metav1.ConditionFalse, Reason: plan.ReasonBuildFailed, Message: "bad"}},
			[]string{"error BuildFailed: bad"}, 1,
		},
		"blocked": {
			"begins as in Flux, for Alerts that leave it out", subject.Kustomizations(),
			Outcome{Before: ready("a"), After: blocked, Verdict: plan.Verdict{Ready: metav1.ConditionFalse, Reason: plan.ReasonDependency}},
			[]string{"info DependencyNotReady: Dependencies do not meet ready condition, retrying in 30s: dependency 'Kustomization/apps/db' is not ready"}, 1,
		},
		"released": {
			"helm-controller says nothing of a reconciliation", subject.HelmReleases(),
			Outcome{
				Before: helmRelease(false), After: helmRelease(true), Released: true, Changed: []string{"ConfigMap/apps/a created"},
				Verdict: plan.Verdict{Ready: metav1.ConditionTrue, Reason: "UpgradeSucceeded", Message: "upgraded"},
			},
			[]string{"info UpgradeSucceeded: upgraded"}, 1,
		},
		"drift at an interval": {
			"a release that changes objects without a new version has corrected drift", subject.HelmReleases(),
			Outcome{
				Before: helmRelease(true), After: helmRelease(true), Changed: []string{"ConfigMap/apps/a created", "ConfigMap/apps/b configured"},
				Verdict: plan.Verdict{Ready: metav1.ConditionTrue, Reason: "UpgradeSucceeded", Message: "upgraded"},
			},
			[]string{
				"info DriftDetected: release apps/web.v4 has drifted:\nConfigMap/apps/a was deleted\nConfigMap/apps/b was changed",
				"info DriftCorrected: drift of release apps/web.v4 is corrected:\nConfigMap/apps/a created\nConfigMap/apps/b configured",
				"info UpgradeSucceeded: upgraded",
			}, 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, bus, core := emitter(tt.kind)
			tt.outcome.At = moment()
			e.Outcome(tt.outcome, &Reported{})
			if diff := cmp.Diff(tt.bus, bus.lines()); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tt.reason, diff)
			}
			if n := len(core.Events); n != tt.core {
				t.Errorf("%s: %d core/v1 Events, want %d", tt.reason, n, tt.core)
			}
			if ids := slices.Compact(slices.Sorted(slices.Values(bus.ids))); len(ids) != len(bus.ids) {
				t.Errorf("two events have the same id: %v", bus.ids)
			}
		})
	}
}

// TestState: what was announced is announced again under the same id, and another attempt under another one.
func TestState(t *testing.T) {
	e, bus, _ := emitter(subject.Kustomizations())
	ks := kustomization("True", plan.ReasonSucceeded, "Applied revision: b", "b")
	object, ok := ks.Object().(*kustomizev1.Kustomization)
	if !ok {
		t.Fatal("not a Kustomization")
	}
	object.Annotations = map[string]string{"event.toolkit.fluxcd.io/team": "a", "other": "b"}
	object.Status.LastAppliedRevision, object.Status.LastAppliedOriginRevision = "b", "origin"
	first := e.State(ks, "")
	if again := e.State(ks, first); again != "" {
		t.Errorf("told twice: %s", again)
	}
	if restarted := e.State(ks.Copy(), ""); restarted != first {
		t.Errorf("after a restart the id is %s, want %s", restarted, first)
	}
	object.Status.History.Upsert("tag", moment(), time.Second, plan.ReasonSucceeded, nil)
	if second := e.State(ks, first); second == "" || second == first {
		t.Error("another attempt within the same second is not told")
	}
	object.Status.History = nil
	e.State(ks, first)
	want := []string{
		"info ReconciliationSucceeded: Reconciliation finished in 1.2s, next run in 10m0s",
		"info ReconciliationSucceeded: Reconciliation finished in 1.2s, next run in 10m0s",
		"info ReconciliationSucceeded: Reconciliation finished in 1s, next run in 10m0s",
		"info ReconciliationSucceeded: Reconciliation finished, next run in 10m0s",
	}
	if diff := cmp.Diff(want, bus.lines()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	metadata := map[string]string{
		"kustomize.toolkit.fluxcd.io/revision": "b", "kustomize.toolkit.fluxcd.io/originRevision": "origin",
		"kustomize.toolkit.fluxcd.io/commit_status": "update", "event.toolkit.fluxcd.io/team": "a",
	}
	if diff := cmp.Diff(metadata, bus.events[0].Metadata); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestMetadataOfRelease(t *testing.T) {
	e, bus, _ := emitter(subject.HelmReleases())
	e.State(helmRelease(true), "")
	want := map[string]string{
		"helm.toolkit.fluxcd.io/revision": "1.2.3", "helm.toolkit.fluxcd.io/token": "sha256:values", "helm.toolkit.fluxcd.io/app-version": "9",
	}
	if got := bus.events[0].Metadata; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDrift(t *testing.T) {
	one := Drifted{Object: "ConfigMap/apps/a", Manager: "kubectl", Found: "ConfigMap/apps/a was changed by kubectl", Corrected: "ConfigMap/apps/a was changed by kubectl and is corrected"}
	for name, tt := range map[string]struct {
		reason string
		kind   subject.Kind
		of     subject.Subject
		drifts []Drift
		want   []string
		core   int
	}{
		"kustomization": {
			"one event", subject.Kustomizations(), kustomization("True", plan.ReasonSucceeded, "", "b"),
			[]Drift{{Corrected: []Drifted{one}}},
			[]string{"info DriftCorrected: ConfigMap/apps/a was changed by kubectl and is corrected"}, 1,
		},
		"release": {
			"what was found, then what was done", subject.HelmReleases(), helmRelease(true),
			[]Drift{{Corrected: []Drifted{one}}},
			[]string{
				"info DriftDetected: release apps/web.v4 has drifted:\nConfigMap/apps/a was changed by kubectl",
				"info DriftCorrected: drift of release apps/web.v4 is corrected:\nConfigMap/apps/a was changed by kubectl and is corrected",
			}, 2,
		},
		"refused": {
			"told once for each cause, and again after it was over", subject.HelmReleases(), helmRelease(true),
			[]Drift{{Refused: "no"}, {Refused: "no"}, {}, {Refused: "no"}}, nil, 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, bus, core := emitter(tt.kind)
			reported := &Reported{}
			for _, d := range tt.drifts {
				e.Drift(tt.of, moment(), d, reported)
			}
			if n := len(core.Events); n != tt.core {
				t.Errorf("%s: %d core/v1 Events, want %d", tt.reason, n, tt.core)
			}
			if diff := cmp.Diff(tt.want, bus.lines()); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tt.reason, diff)
			}
		})
	}
}
