package bench

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gitops/sluice/e2e/cluster"
	"github.com/sluice-gitops/sluice/e2e/cluster/stack"
)

// dryRun stands for the verb of a request that changes nothing.
const dryRun = "dry-run"

// request is what requests are counted by.
type request struct {
	Controller string
	// Verb is the API server's, or dryRun.
	Verb string
	// Group and Kind are those of the path; Kind is plural and carries the subresource, as in deployments/scale.
	Group, Kind string
}

// write tells whether the request asks for a change, if only on trial.
func (r request) write() bool { return !slices.Contains([]string{"get", "list", "watch"}, r.Verb) }

// requests are counts; failed are those among them that the API server did not grant.
type requests struct {
	counts map[request]int
	failed map[request]int
}

// countRequests counts what the controllers asked for from begin up to end.
func countRequests(entries []cluster.AuditEntry, begin, end time.Time) requests {
	r := requests{counts: map[request]int{}, failed: map[request]int{}}
	for _, entry := range entries {
		controller, ours := strings.CutPrefix(entry.User, "system:serviceaccount:"+stack.Namespace+":")
		if !ours || entry.Time.Before(begin) || !entry.Time.Before(end) {
			continue
		}
		key := request{Controller: controller, Verb: verb(entry), Group: entry.Group, Kind: entry.Resource}
		if entry.Subresource != "" {
			key.Kind += "/" + entry.Subresource
		}
		r.counts[key]++
		if entry.Code >= 400 {
			r.failed[key]++
		}
	}
	return r
}

func verb(entry cluster.AuditEntry) string {
	target, err := url.ParseRequestURI(entry.URI)
	if err == nil && target.Query().Has("dryRun") {
		return dryRun
	}
	return entry.Verb
}

// sum adds up the counts that matter; a nil function takes all.
func sum(counts map[request]int, matters func(request) bool) int {
	total := 0
	for key, n := range counts {
		if matters == nil || matters(key) {
			total += n
		}
	}
	return total
}

// verbs are those that occur, reading ones first.
func (r requests) verbs() []string {
	seen := map[string]bool{}
	for key := range r.counts {
		seen[key.Verb] = true
	}
	order := []string{"watch", "list", "get", dryRun, "create", "update", "patch", "delete"}
	return slices.SortedFunc(maps.Keys(seen), func(a, b string) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a), slices.Index(order, b)), cmp.Compare(a, b))
	})
}

// sorted are the counts in a fixed order: by controller, kind and verb.
func (r requests) sorted() []request {
	return slices.SortedFunc(maps.Keys(r.counts), func(a, b request) int {
		return cmp.Or(cmp.Compare(a.Controller, b.Controller), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Group, b.Group))
	})
}
