package bench

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gitops/sluice/e2e/cluster"
)

const account = "system:serviceaccount:flux-system:"

func TestCountRequests(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := begin.Add(time.Second)
	sync := account + "sync-controller"
	entries := []cluster.AuditEntry{
		{User: sync, Verb: "patch", Group: "apps", Resource: "deployments", URI: "/apis/apps/v1/namespaces/a/deployments/b?dryRun=All&fieldManager=x", Code: 200, Time: begin},
		{User: sync, Verb: "patch", Group: "apps", Resource: "deployments", URI: "/apis/apps/v1/namespaces/a/deployments/b?fieldManager=x", Code: 409, Time: begin},
		{User: sync, Verb: "patch", Group: "apps", Resource: "deployments", URI: "/apis/apps/v1/namespaces/a/deployments/c?fieldManager=x", Code: 200, Time: begin},
		{User: sync, Verb: "patch", Group: "kustomize.toolkit.fluxcd.io", Resource: "kustomizations", Subresource: "status", URI: "/x", Code: 200, Time: begin},
		{User: "admin", Verb: "get", Resource: "secrets", URI: "/x", Code: 200, Time: begin},
		{User: sync, Verb: "get", Resource: "secrets", URI: "/x", Code: 200, Time: begin.Add(-1)},
		{User: sync, Verb: "get", Resource: "secrets", URI: "/x", Code: 200, Time: end},
	}
	deployment := request{Controller: "sync-controller", Verb: "patch", Group: "apps", Kind: "deployments"}
	trial := deployment
	trial.Verb = dryRun
	want := requests{
		counts: map[request]int{
			deployment: 2, trial: 1,
			{Controller: "sync-controller", Verb: "patch", Group: "kustomize.toolkit.fluxcd.io", Kind: "kustomizations/status"}: 1,
		},
		failed: map[request]int{deployment: 1},
	}
	got := countRequests(entries, begin, end)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(requests{})); diff != "" {
		t.Errorf("the controllers' requests of the time, dry-runs apart:\n%s", diff)
	}
	if diff := cmp.Diff([]string{dryRun, "patch"}, got.verbs()); diff != "" {
		t.Errorf("verbs:\n%s", diff)
	}
	if n := sum(got.counts, nil); n != 4 {
		t.Errorf("%d requests; want 4", n)
	}
}

func TestBudget(t *testing.T) {
	const apps = 3
	of := func(controller, verb, group, kind string) request {
		return request{Controller: controller, Verb: verb, Group: group, Kind: kind}
	}
	tests := map[string]struct {
		reason             string
		request            request
		want               string
		revisions, changes int
		allowed            int
	}{
		"Render":        {"each application's, for each revision", of("render-controller", "update", "sluice.dev", "renders"), "Render records", 2, 1, 6},
		"Status":        {"each application's, for each revision", of("sync-controller", "patch", "kustomize.toolkit.fluxcd.io", "kustomizations/status"), "Kustomization statuses", 2, 1, 6},
		"Finalizer":     {"the object itself counts like its status", of("sync-controller", "patch", "kustomize.toolkit.fluxcd.io", "kustomizations"), "Kustomization statuses", 0, 0, 0},
		"Sync":          {"only where something changed", of("sync-controller", "update", "sluice.dev", "syncs"), "Sync records", 2, 1, 1},
		"Event":         {"only where something changed", of("sync-controller", "create", "", "events"), "events of applications", 2, 1, 1},
		"NewerEvent":    {"both groups of events are events", of("sync-controller", "create", "events.k8s.io", "events"), "events of applications", 2, 0, 0},
		"DryRun":        {"one per changed object", of("sync-controller", dryRun, "apps", "deployments"), "dry-runs of objects", 5, 2, 2},
		"Apply":         {"one per changed object", of("sync-controller", "patch", "", "configmaps"), "writes of objects", 5, 2, 2},
		"Read":          {"reads are shown, the budget is for writes", of("render-controller", "get", "sluice.dev", "renders"), "reads", 1, 1, 0},
		"SourceItself":  {"what a source costs is not per application", of("source-controller", "create", "", "events"), "source-controller, reads and writes", 1, 1, 0},
		"SourceIsAsked": {"a read by others is a read", of("render-controller", "get", "source.toolkit.fluxcd.io", "gitrepositories"), "reads", 1, 1, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var lines []string
			for _, line := range budget() {
				if !line.belongs(tc.request) {
					continue
				}
				lines = append(lines, line.Name)
				if got := line.allowed(tc.revisions, apps, tc.changes); got != tc.allowed {
					t.Errorf("%s: %d allowed; want %d", tc.reason, got, tc.allowed)
				}
			}
			if diff := cmp.Diff([]string{tc.want}, lines); diff != "" {
				t.Errorf("%s; each request belongs to one line:\n%s", tc.reason, diff)
			}
		})
	}
}
