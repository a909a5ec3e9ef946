package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Dependency is one entry of spec.dependsOn with what was found under that name.
type Dependency struct {
	// Name is Kind/namespace/name.
	Name string
	// Found says that it exists.
	Found bool
	// Generation and Observed are its metadata.generation and status.observedGeneration.
	Generation, Observed int64
	// Ready says that its Ready condition is True.
	Ready bool
	// SameSource says that it is made from the same source object as the subject, and that revisions count.
	SameSource bool
	// Revision it has applied last; Want is the one the subject is about to apply.
	Revision, Want string
	// Expr is its readyExpr, which replaces the built-in check; Holds its value.
	Expr  string
	Holds bool
	// Trouble says why nothing can be said about it; empty when nothing is in the way.
	Trouble string
}

// Blocker is a dependency that is not ready.
type Blocker struct {
	// Name is Kind/namespace/name, Why a sentence for the user.
	Name, Why string
}

// Blocked returns the dependencies that are not ready, in order.
func Blocked(all []Dependency) []Blocker {
	var blocked []Blocker
	for _, d := range all {
		if why := d.unready(); why != "" {
			blocked = append(blocked, Blocker{Name: d.Name, Why: why})
		}
	}
	return blocked
}

// Names returns the names of blockers.
func Names(blocked []Blocker) []string {
	names := make([]string, 0, len(blocked))
	for _, b := range blocked {
		names = append(names, b.Name)
	}
	return names
}

func (d Dependency) unready() string {
	switch {
	case !d.Found:
		return fmt.Sprintf("dependency '%s' not found", d.Name)
	case d.Trouble != "":
		return fmt.Sprintf("dependency '%s' is not ready: %s", d.Name, d.Trouble)
	case d.Expr != "" && !d.Holds:
		return fmt.Sprintf("dependency '%s' is not ready according to readyExpr", d.Name)
	case d.Expr != "":
		return ""
	case d.Observed != d.Generation || !d.Ready:
		return fmt.Sprintf("dependency '%s' is not ready", d.Name)
	case d.SameSource && d.Revision != d.Want:
		return fmt.Sprintf("dependency '%s' is not updated yet to revision %s", d.Name, d.Want)
	}
	return ""
}

// Cycle follows dependencies from a subject and returns the shortest way back to it, with its own name first and last; nil
// when there is none. next says what a subject depends on, and is asked once for each that can be reached.
func Cycle(start string, next func(name string) []string) []string {
	from := make(map[string]string)
	for todo := []string{start}; len(todo) > 0; todo = todo[1:] {
		name := todo[0]
		for _, to := range next(name) {
			if to == start {
				return wayBack(start, name, from)
			}
			if _, seen := from[to]; !seen {
				from[to] = name
				todo = append(todo, to)
			}
		}
	}
	return nil
}

func wayBack(start, last string, from map[string]string) []string {
	way := []string{start}
	for name := last; name != start; name = from[name] {
		way = append(way, name)
	}
	way = append(way, start)
	slices.Reverse(way)
	return way
}

// circular tells of a cycle.
func circular(cycle []string) string {
	return fmt.Sprintf("dependency cycle: %s; none of them can become ready: take one of these out of spec.dependsOn", strings.Join(cycle, " → "))
}
