package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// written are the core/v1 Events about an object, as "Warning BuildFailed: message".
func (s *stack) written(name string) []string {
	s.t.Helper()
	list := &corev1.EventList{}
	if err := s.client.List(s.t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, e := range list.Items {
		if e.InvolvedObject.Name == name {
			lines = append(lines, fmt.Sprintf("%s %s: %s", e.Type, e.Reason, e.Message))
		}
	}
	return lines
}

// onBus is what was announced about an object, as "error BuildFailed: message", sorted. An update of a commit's status is
// marked as one.
func (s *stack) onBus(name string) []string {
	var lines []string
	for _, ev := range s.announced.all() {
		if ev.InvolvedObject.Name != name {
			continue
		}
		line := fmt.Sprintf("%s %s: %s", ev.Severity, ev.Reason, ev.Message)
		if ev.Metadata["kustomize.toolkit.fluxcd.io/commit_status"] != "" {
			line = "status " + line
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// tells waits for exactly those announcements about an object, given by how each starts, in order.
func (s *stack) tells(name string, want ...string) {
	s.t.Helper()
	s.eventually("what is told of "+name, func() string {
		got := s.onBus(name)
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			return fmt.Sprintf("%q, want %q", got, want)
		}
		return ""
	})
}

// TestReleaseIsTold: every release is told once, also one that changes no object.
func TestReleaseIsTold(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait)
	s.release(hr, map[string]any{"a": 1}, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	s.next("app", v1alpha1.ReleaseParameters{Revision: 2})
	s.release(hr, map[string]any{"a": 2}, v1alpha1.ReleaseParameters{Revision: 2}, s.configMap("one", "1"))
	s.released(hr, "True", "UpgradeSucceeded", "app.v2")
	s.eventually("a core Event", func() string { return s.event("UpgradeSucceeded", "app.v2 with chart app@1.0.0") })
	s.tells("app", "info InstallSucceeded: Helm install succeeded", "info UpgradeSucceeded: Helm upgrade succeeded")
}

// TestReleaseRecovery: what is over is told by the Ready condition alone.
func TestReleaseRecovery(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait)
	render := func() {
		s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"))
	}
	render()
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	r := s.unrendered(helmv2.HelmReleaseKind, hr, "1.0.0")
	apimeta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: "Ready", Status: "False", Reason: "BuildFailed", Message: "bad"})
	s.record(r)
	s.released(hr, "False", "UpgradeFailed", "bad")
	s.tells("app", "error UpgradeFailed: bad", "info InstallSucceeded: Helm install succeeded")
	render()
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	s.eventually("a core Event", func() string { return s.event("InstallSucceeded", "recovered: ") })
	for _, line := range s.onBus("app") {
		if strings.Contains(line, "recovered") {
			t.Errorf("told twice: %s", line)
		}
	}
}

// TestRecoveryIsTold: a failure and its end are told with Flux's reasons, the end to chats and to the commit's status; and
// each commit that fails has its own Event, although the reason is the same.
func TestRecoveryIsTold(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	for revision, message := range map[string]string{second: "bad: second", third: "bad: third"} {
		r := s.unrendered(kustomizev1.KustomizationKind, ks, revision)
		apimeta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: "Ready", Status: "False", Reason: "BuildFailed", Message: message})
		s.record(r)
		s.ready(ks, "False", "BuildFailed", message)
		s.eventually("a core Event", func() string { return s.event("BuildFailed", message) })
	}
	s.edit(ks, func(ks *kustomizev1.Kustomization) { ks.Spec.Path = "./other" })
	s.ready(ks, "Unknown", "Progressing", "generation 2") // what was told is not forgotten on the way
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.eventually("a core Event", func() string { return s.event("ReconciliationSucceeded", "recovered: Applied revision: "+first) })
	s.tells("app", "error BuildFailed: bad: second", "error BuildFailed: bad: third", "info Progressing: ConfigMap/",
		"info ReconciliationSucceeded: recovered: ", "status info ReconciliationSucceeded: Reconciliation finished in", "status info ReconciliationSucceeded: Reconciliation finished in")
}

// TestDependencyWakesNobody: to wait for a dependency is no failure, and its end no recovery.
func TestDependencyWakesNobody(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	app := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "db"}}
	})
	s.render(app, first, s.configMap("app", "1"))
	s.ready(app, "False", "DependencyNotReady", "db")
	if len(app.Status.History) != 0 {
		t.Errorf("history: %+v", app.Status.History)
	}
	s.eventually("a core Event", func() string {
		if lines := s.written("app"); len(lines) != 1 || !strings.HasPrefix(lines[0], "Normal DependencyNotReady: ") {
			return fmt.Sprintf("%q", lines)
		}
		return ""
	})
	s.tells("app", "info DependencyNotReady: Dependencies do not meet ready condition, retrying in 1h0m0s: ")
	db := s.kustomization("db")
	s.render(db, first, s.configMap("db", "1"))
	s.ready(app, "True", "ReconciliationSucceeded", first)
	s.tells("app", "info DependencyNotReady: ", "info Progressing: ConfigMap/", "status info ReconciliationSucceeded: ")
}

// TestFinishedIsTold: each attempt that changes something or moves the revision is told to have finished, a first install
// included, and told once: a new process says the same again.
func TestFinishedIsTold(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	finished := func(n int) []string {
		return slices.Repeat([]string{"status info ReconciliationSucceeded: Reconciliation finished in "}, n)
	}
	for i, step := range []struct{ revision, value string }{{first, "1"}, {second, "2"}, {third, "2"}} {
		s.render(ks, step.revision, s.configMap("one", step.value))
		s.ready(ks, "True", "ReconciliationSucceeded", step.revision)
		s.tells("app", append(slices.Repeat([]string{"info Progressing: ConfigMap/"}, min(i+1, 2)), finished(i+1)...)...)
	}
	for _, ev := range s.announced.all() {
		if ev.Metadata["kustomize.toolkit.fluxcd.io/commit_status"] == "" {
			continue
		}
		if !strings.HasSuffix(ev.Message, ", next run in 1h0m0s") || !slices.Contains([]string{first, second, third}, ev.Metadata["kustomize.toolkit.fluxcd.io/revision"]) {
			t.Errorf("%s %v", ev.Message, ev.Metadata)
		}
	}
	before := s.onBus("app")
	s.stop()
	s.start()
	s.edit(ks, func(ks *kustomizev1.Kustomization) { ks.Spec.Interval.Duration = 2 * time.Hour }) // has the new process work
	s.render(ks, third, s.configMap("one", "2"))
	s.eventually("nothing but the next attempt is told", func() string {
		after := s.onBus("app")
		news := slices.DeleteFunc(slices.Clone(after), func(line string) bool { return slices.Contains(before, line) })
		if len(after) != len(before)+1 || len(news) != 1 || !strings.HasSuffix(news[0], ", next run in 2h0m0s") {
			return fmt.Sprintf("%q after %q", after, before)
		}
		return ""
	})
}

// TestFinishedAfterCorrection: an attempt at the same revision that puts an object right has finished, too.
func TestFinishedAfterCorrection(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app")
	s.render(ks, first, s.configMap("one", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.edit(ks, func(ks *kustomizev1.Kustomization) { ks.Spec.Suspend = true })
	s.tamper("one", "foreign")
	s.edit(ks, func(ks *kustomizev1.Kustomization) { ks.Spec.Suspend = false })
	s.render(ks, first, s.configMap("one", "1"))
	s.eventually("the value is ours", func() string { return s.value("one", "1") })
	s.eventually("both attempts are told", func() string {
		n := 0
		for _, line := range s.onBus("app") {
			if strings.HasPrefix(line, "status info ReconciliationSucceeded: Reconciliation finished in ") {
				n++
			}
		}
		if n != 2 {
			return fmt.Sprintf("%d times: %q", n, s.onBus("app"))
		}
		return ""
	})
}

// TestDriftOfReleaseIsTold: what somebody did to a release, and that it was put right, with the release's metadata.
func TestDriftOfReleaseIsTold(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait, func(hr *helmv2.HelmRelease) {
		hr.Spec.DriftDetection = &helmv2.DriftDetection{Mode: helmv2.DriftDetectionEnabled}
	})
	s.release(hr, map[string]any{"a": 1}, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	s.tamper("one", "foreign")
	object := "\nConfigMap/" + s.namespace + "/one was changed by kubectl-edit"
	s.tells("app", "info DriftCorrected: drift of release "+s.namespace+"/app.v1 is corrected:"+object+" and is corrected",
		"info DriftDetected: release "+s.namespace+"/app.v1 has drifted:"+object, "info InstallSucceeded: Helm install succeeded")
	for _, ev := range s.announced.all() {
		if m := ev.Metadata; m["helm.toolkit.fluxcd.io/revision"] != "1.0.0" || m["helm.toolkit.fluxcd.io/app-version"] != "9" ||
			m["helm.toolkit.fluxcd.io/token"] != hr.Status.History.Latest().ConfigDigest {
			t.Errorf("%s: %v", ev.Reason, m)
		}
		if strings.Contains(ev.Message, "foreign") {
			t.Errorf("a value is told: %s", ev.Message)
		}
	}
}

// TestToldWithinASecond: two things that are told within the same second are two, whatever they have in common.
func TestToldWithinASecond(t *testing.T) {
	announced := &announcements{}
	e := &events.Emitter{Kind: subject.Kustomizations(), Recorder: &record.FakeRecorder{}, Announcer: announced, Now: time.Now}
	ks, now := subject.Kustomizations().Of(&kustomizev1.Kustomization{}), time.Now()
	e.Emit(ks, now, events.Normal, events.ReasonDriftCorrected, "a was changed")
	e.Emit(ks, now, events.Normal, events.ReasonDriftCorrected, "b was changed")
	if n := len(announced.all()); n != 2 {
		t.Errorf("%d announcements", n)
	}
}
