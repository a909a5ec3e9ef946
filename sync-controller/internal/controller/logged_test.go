package controller

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// lines collects what a process logs, as "info app: message".
type lines struct {
	mu   sync.Mutex
	seen []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, line)
}

// about are the lines about one subject, without its name.
func (l *lines) about(level, name string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, line := range l.seen {
		if text, ok := strings.CutPrefix(line, level+" "+name+": "); ok {
			lines = append(lines, text)
		}
	}
	return lines
}

// beside is a sink that hands on to another one what it collects.
func (l *lines) beside(next logr.LogSink) logr.LogSink { return &collector{LogSink: next, lines: l} }

type collector struct {
	logr.LogSink
	lines *lines
	name  string
}

func (c *collector) Enabled(int) bool { return true }

func (c *collector) Info(level int, message string, values ...any) {
	name := "info"
	if level > 0 {
		name = "debug"
	}
	var suffix string
	if message == "decided" {
		suffix = fmt.Sprint(" ", values[1], " ", values[3])
	}
	c.lines.add(name + " " + c.name + ": " + message + suffix)
	if level == 0 {
		c.LogSink.Info(level, message, values...)
	}
}

func (c *collector) Error(err error, message string, values ...any) {
	c.lines.add(fmt.Sprintf("error %s: %s: %v", c.name, message, err))
	c.LogSink.Error(err, message, values...)
}

func (c *collector) WithName(name string) logr.LogSink {
	return &collector{LogSink: c.LogSink.WithName(name), lines: c.lines, name: c.name}
}

// WithValues keeps the name of the subject: controller-runtime gives it to each reconciliation.
func (c *collector) WithValues(values ...any) logr.LogSink {
	named := &collector{LogSink: c.LogSink.WithValues(values...), lines: c.lines, name: c.name}
	for i := 0; i+1 < len(values); i += 2 {
		if values[i] == "name" {
			named.name = fmt.Sprint(values[i+1])
		}
	}
	return named
}

// logs waits for exactly those lines at info about a subject, given as regular expressions, in order; and that there is none
// at error.
func (s *stack) logs(name string, want ...string) {
	s.t.Helper()
	s.eventually("the log of "+name, func() string {
		got := s.lines.about("info", name)
		if len(got) != len(want) {
			return fmt.Sprintf("%d lines, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
		}
		for i, pattern := range want {
			if !regexp.MustCompile("^" + pattern + "$").MatchString(got[i]) {
				return fmt.Sprintf("%q, want %q", got[i], pattern)
			}
		}
		return ""
	})
	if wrong := s.lines.about("error", name); len(wrong) > 0 {
		s.t.Errorf("at error: %q", wrong)
	}
}

// TestLog: one line for each outcome, and none for a reconciliation that finds nothing.
func TestLog(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) {
		ks.Spec.Wait, ks.Spec.RetryInterval = true, &metav1.Duration{Duration: time.Second}
	})
	s.render(ks, first, s.deployment("web"), s.configMap("one", "1"), s.configMap("two", "2"))
	s.ready(ks, "Unknown", "Progressing", "health checks")
	s.finish("web")
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.render(ks, second, s.deployment("web"), s.configMap("one", "changed"))
	s.ready(ks, "True", "ReconciliationSucceeded", second)
	s.render(ks, third, s.deployment("web"), s.configMap("one", "changed"))
	s.ready(ks, "True", "ReconciliationSucceeded", third)
	s.tamper("one", "foreign")
	s.eventually("the value is ours", func() string { return s.value("one", "changed") })
	s.eventually("the correction is told", func() string { return s.event("DriftCorrected", "kubectl-edit") })
	failed := s.unrendered(kustomizev1.KustomizationKind, ks, first)
	apimeta.SetStatusCondition(&failed.Status.Conditions, metav1.Condition{Type: "Ready", Status: "False", Reason: "BuildFailed", Message: "bad"})
	s.record(failed)
	s.ready(ks, "False", "BuildFailed", "bad")
	s.rest(2 * time.Second) // what is tried again and fails in the same way is no news
	s.render(ks, first, s.deployment("web"), s.configMap("one", "changed"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.delete(&kustomizev1.Kustomization{}, "app")
	s.gone(&kustomizev1.Kustomization{}, "app")

	const took = `[0-9.]+m?s`
	one := "ConfigMap/" + s.namespace + "/one"
	s.logs("app",
		"applied "+first+" in "+took+": 3 created", "healthy after "+took,
		"applied "+second+" in "+took+": 1 configured, 1 deleted, 1 unchanged", "pruned 1 object: ConfigMap/"+s.namespace+"/two",
		"moved to "+third+", whose content is the same",
		"corrected drift of "+one+", changed by kubectl-edit",
		"failed to apply "+first+": bad",
		"recovered: (applied|moved to) "+first+".*",
		"finalized, with the deletion of 2 objects",
	)
	decided := s.lines.about("debug", "app")
	for _, want := range []string{
		"decided AddFinalizer FinalizerMissing", "decided Begin GoalMoved", "decided Apply NotApplied", "decided Wait HealthAwaited",
		"decided Prune Stale", "decided Succeed OnlyMoved", "decided Heal Drifted", "decided Fail RenderFailed",
	} {
		if !strings.Contains(strings.Join(decided, "\n"), want) {
			t.Errorf("%q is not among what was decided: %q", want, decided)
		}
	}
}

// TestLogOfRelease: releases in Helm's words.
func TestLogOfRelease(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait)
	s.release(hr, map[string]any{"a": 1}, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	s.next("app", v1alpha1.ReleaseParameters{Revision: 2})
	s.release(hr, map[string]any{"a": 2}, v1alpha1.ReleaseParameters{Revision: 2}, s.configMap("one", "2"))
	s.released(hr, "True", "UpgradeSucceeded", "app.v2")
	r := s.unrendered(helmv2.HelmReleaseKind, hr, "1.0.1")
	apimeta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: "Ready", Status: "False", Reason: "BuildFailed", Message: "bad"})
	s.record(r)
	s.released(hr, "False", "UpgradeFailed", "bad")
	const took = `[0-9.]+m?s`
	s.logs("app",
		"installed release "+s.namespace+"/app.v1 with chart app@1.0.0 in "+took+": 1 created",
		"upgraded release "+s.namespace+"/app.v2 with chart app@1.0.0 in "+took+": 1 configured",
		"failed to upgrade to 1.0.1: bad",
	)
}
