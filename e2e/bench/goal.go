package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	progressPause = 5 * time.Second
	// mostNamed is how many objects an error names.
	mostNamed = 10
)

// goal is a state that objects are to be in, all at the same time. Its follower guards it.
type goal struct {
	what    string
	reached func(*unstructured.Unstructured) bool
	done    chan struct{} // closed when all are in it for the first time

	arrived map[string]bool // by name, of all that are named
	count   int             // how many of them are in it
	at      time.Time       // when done was closed
}

// see takes in an object as the watch told it, nil when it is gone.
func (g *goal) see(name string, o *unstructured.Unstructured, now time.Time) {
	before, named := g.arrived[name]
	if !named || !g.at.IsZero() {
		return
	}
	after := o != nil && g.reached(o)
	g.arrived[name] = after
	switch {
	case after && !before:
		g.count++
	case before && !after:
		g.count--
	}
	if g.count == len(g.arrived) {
		g.at = now
		close(g.done)
	}
}

// wait returns when the last object arrived, as the watch told it, telling how far they are now and then. The error names
// objects that did not arrive, with what they say of themselves.
func (f *follower) wait(ctx context.Context, g *goal, limit time.Duration, tell func(format string, args ...any)) (time.Time, error) {
	defer f.forget(g)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(progressPause)
	defer ticker.Stop()
	for {
		select {
		case <-g.done:
			return g.at, nil
		case <-ticker.C:
			count, _ := f.standing(g)
			tell("   %d of %d %s", count, len(g.arrived), g.what)
		case <-ctx.Done():
			count, others := f.standing(g)
			return time.Time{}, fmt.Errorf("%d of %d %s within %s (%w):\n  %s",
				count, len(g.arrived), g.what, limit, context.Cause(ctx), strings.Join(others, "\n  "))
		}
	}
}

// complaint is what an object says about why it is not where it should be.
func complaint(o *unstructured.Unstructured) string {
	if o == nil {
		return "is not there"
	}
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil || len(conditions) == 0 {
		return "has no conditions"
	}
	for _, c := range conditions {
		if condition, ok := c.(fields); ok && condition["type"] == "Ready" {
			return fmt.Sprintf("Ready=%v %v: %v", condition["status"], condition["reason"], condition["message"])
		}
	}
	return "has no Ready condition"
}

// ready tells whether an object is Ready in its current generation.
func ready(o *unstructured.Unstructured) bool {
	observed, _, err := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	return err == nil && observed == o.GetGeneration() && strings.HasPrefix(complaint(o), "Ready=True ")
}

// applied tells whether a Kustomization reports that it applied a commit.
func applied(commit string) func(*unstructured.Unstructured) bool {
	return func(o *unstructured.Unstructured) bool {
		revision, _, err := unstructured.NestedString(o.Object, "status", "lastAppliedRevision")
		return err == nil && strings.HasSuffix(revision, ":"+commit)
	}
}
