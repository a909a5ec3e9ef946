package bench

import "strings"

// The write budget: what a revision may cost in requests to the API server, beside reads. Every application has a Render
// that names the new revision and a status that reports it; only where content changed there is a Sync record, an event,
// and a dry-run and an apply per changed object. An interval pass that finds nothing costs nothing.

// budgetLine is a line of the budget and the requests that belong to it.
type budgetLine struct {
	Name    string
	belongs func(request) bool
	// perApp is allowed per application of the fleet for each new revision, perChange for each changed application with
	// one changed object.
	perApp, perChange int
	// free lines are shown and not limited.
	free bool
}

func (l budgetLine) allowed(revisions, apps, changes int) int {
	return revisions*apps*l.perApp + changes*l.perChange
}

// budget holds each request to exactly one line.
func budget() []budgetLine {
	const source = "source-controller"
	kind := func(group string, kinds ...string) func(request) bool {
		return func(r request) bool {
			plural, _, _ := strings.Cut(r.Kind, "/")
			for _, k := range kinds {
				if r.write() && r.Controller != source && r.Group == group && plural == k {
					return true
				}
			}
			return false
		}
	}
	lines := []budgetLine{
		{Name: "Render records", perApp: 1, belongs: kind("sluice.dev", "renders")},
		{Name: "Kustomization statuses", perApp: 1, belongs: kind("kustomize.toolkit.fluxcd.io", "kustomizations")},
		{Name: "Sync records", perChange: 1, belongs: kind("sluice.dev", "syncs")},
		{Name: "events of applications", perChange: 1, belongs: eitherOf(kind("", "events"), kind("events.k8s.io", "events"))},
		{Name: "reads", free: true, belongs: func(r request) bool { return !r.write() && r.Controller != source }},
		{Name: "source-controller, reads and writes", free: true, belongs: func(r request) bool { return r.Controller == source }},
	}
	above := lines[:len(lines):len(lines)]
	other := func(r request) bool {
		for _, line := range above {
			if line.belongs(r) {
				return false
			}
		}
		return true
	}
	return append(lines,
		budgetLine{Name: "dry-runs of objects", perChange: 1, belongs: func(r request) bool { return other(r) && r.Verb == dryRun }},
		budgetLine{Name: "writes of objects", perChange: 1, belongs: func(r request) bool { return other(r) && r.Verb != dryRun }},
	)
}

func eitherOf(a, b func(request) bool) func(request) bool {
	return func(r request) bool { return a(r) || b(r) }
}
