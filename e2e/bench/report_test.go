package bench

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	render := request{Controller: "render-controller", Verb: "update", Group: "sluice.dev", Kind: "renders"}
	status := request{Controller: "sync-controller", Verb: "patch", Group: "kustomize.toolkit.fluxcd.io", Kind: "kustomizations/status"}
	source := request{Controller: "source-controller", Verb: "patch", Group: "source.toolkit.fluxcd.io", Kind: "gitrepositories/status"}
	event := request{Controller: "sync-controller", Verb: "create", Kind: "events"}
	report := Report{
		Apps: 100, CPUs: 2, Load: 0.25, Kubernetes: "v1.36.3", Idle: time.Minute,
		Install: spreadOf([]time.Duration{4210 * time.Millisecond}),
		Floor:   spreadOf([]time.Duration{900 * time.Millisecond, 800 * time.Millisecond, 1200 * time.Millisecond}),
		MoveAll: spreadOf([]time.Duration{412 * time.Millisecond, 600 * time.Millisecond}),
		Phases: []phase{
			{
				Name: phaseMove, Rounds: 2,
				Requests: requests{counts: map[request]int{render: 200, status: 200, source: 2, event: 3}, failed: map[request]int{status: 1}},
				Usage: map[string]usage{
					"source-controller": {cpu: 40 * time.Millisecond, resident: 50 << 20},
					"render-controller": {cpu: 300 * time.Millisecond, resident: 120 << 20},
					"sync-controller":   {cpu: 700 * time.Millisecond, resident: 90 << 20},
					"notify-controller": {cpu: 0, resident: 40 << 20},
				},
			},
			{Name: phaseIdle, Rounds: 1, Restless: true},
			{
				Name: phasePolls, Rounds: 1, Requests: requests{counts: map[request]int{source: 3}},
				Usage: map[string]usage{"source-controller": {cpu: 1200 * time.Millisecond, resident: 55 << 20}},
			},
		},
		Polls: []polls{
			{Kind: kindGit, Objects: 300, Polls: 600, Asked: map[string]int{"list-refs": 600, "advertisement": 606}},
			{Kind: kindChart, Objects: 100, Polls: 200},
		},
	}
	var got strings.Builder
	if err := report.Print(&got); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/report.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("testdata/report.txt:\n%s", diff)
	}
}

func TestDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0 ms": 0, "62 ms": 61600 * time.Microsecond, "999 ms": 999 * time.Millisecond, "1.00 s": time.Second,
		"4.21 s": 4211 * time.Millisecond, "42.1 s": 42 * (time.Second + 2*time.Millisecond),
	} {
		if got := duration(d); got != want {
			t.Errorf("%d ns is %q; want %q", d, got, want)
		}
	}
}
