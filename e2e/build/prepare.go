package build

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"
)

// Goal is what a make target is about.
type Goal struct {
	// Name is how the target is called: make demo.
	Name string
	// Cluster is set if it starts the control plane.
	Cluster bool
	// Then says what comes after the build, and Takes how long that takes.
	Then  string
	Takes time.Duration
}

// Prepare builds what the goal needs: the controllers and this repository's
// e2e into bin/, and the control plane. The first line to out says how long all
// of it will take; it is printed before anything is fetched or compiled.
//
// The controllers come first and the control plane's modules are fetched
// meanwhile. Their packages are not compiled beside each other: a third of them
// are the same, and would be compiled twice.
func Prepare(ctx context.Context, goal Goal, out io.Writer) error {
	root, err := repository()
	if err != nil {
		return err
	}
	source, dir, err := controlPlaneFolders()
	if err != nil {
		return err
	}
	lines := NewLines(out)
	todo := controllers(root)
	var programs []program
	if goal.Cluster {
		programs = missing(dir)
	}
	plane := controlPlane(source, dir, programs)
	lines.Printf("%s", goal.firstLine(survey(ctx, todo, plane), runtime.NumCPU()))

	stale, err := todo.fetch(ctx, lines)
	if err != nil {
		return err
	}
	fetching, stop := context.WithCancel(ctx)
	defer stop()
	if len(programs) > 0 {
		go func() { _, _ = plane.fetch(fetching, lines) }() // what it does not bring is fetched when it is needed
	}
	if err := todo.compile(ctx, lines, stale); err != nil || len(programs) == 0 {
		return err
	}
	return buildControlPlane(ctx, lines, source, dir)
}

// controllers is the target that builds this repository's programs. e2e is among
// them because it compiles little that they do not.
func controllers(root string) target {
	return target{
		name:     "controllers",
		tool:     tool{dir: root},
		folder:   filepath.Join(root, "bin"),
		packages: []string{"./source-controller", "./render-controller", "./sync-controller", "./notify-controller", "./e2e"},
		flags:    []string{"-ldflags", "-s -w"},
		nothing:  work{modules: 260, packages: 2070},
	}
}

// survey is what both lack. What both compile counts once: nothing.packages of
// the second is without what the first compiles already.
func survey(ctx context.Context, first, second target) work {
	all := first.lacks(ctx)
	if len(second.packages) == 0 {
		return all
	}
	rest := second.lacks(ctx)
	rest.packages = min(rest.packages, second.nothing.packages)
	return all.plus(rest)
}

// firstLine says how long it will take, on what.
func (g Goal) firstLine(todo work, cores int) string {
	end := ""
	if g.Then != "" {
		end = fmt.Sprintf("; then %s, %s", g.Then, about(g.Takes))
	}
	if todo == (work{}) {
		return fmt.Sprintf("make %s: everything is compiled%s", g.Name, end)
	}
	return fmt.Sprintf("make %s: %s on %d cores: %s%s", g.Name, about(todo.on(cores)+g.Takes), cores, todo, end)
}
