package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// target is one invocation of go build. One for many programs compiles beside
// each other what none of them waits for, and links beside it.
type target struct {
	name     string
	tool     tool
	packages []string // of the programs
	flags    []string // of go build
	folder   string   // where the programs go
	nothing  work     // what there is to do when nothing is there
}

// lacks is what there is to do, without asking the network.
func (t target) lacks(ctx context.Context) work {
	stale, err := t.stale(ctx, nobody, "GOPROXY=off")
	if err != nil && strings.Contains(err.Error(), "GOPROXY=off") {
		return t.nothing // modules are missing
	}
	return work{packages: len(stale)} // any other error is said when it is built
}

// stale lists the packages that have to be compiled (a program is always stale), and fetches the modules that
// it takes to know.
func (t target) stale(ctx context.Context, line func(string), env ...string) ([]string, error) {
	list := append([]string{"list", "-deps", "-f", `{{if and .Stale (ne .Name "main")}}{{.ImportPath}}{{end}}`}, t.packages...)
	out, err := t.tool.with(env...).run(ctx, line, list...)
	return strings.Fields(out), err
}

// fetch brings the modules, and lists the packages that have to be compiled.
func (t target) fetch(ctx context.Context, lines *Lines) (stale []string, err error) {
	cache, err := t.tool.run(ctx, nobody, "env", "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	fetched := &fetched{cache: strings.TrimSpace(cache)}
	pace := newPace(begin)
	if stale, err = t.stale(ctx, func(line string) {
		if fetched.add(line) && pace.due(time.Now()) {
			lines.Printf("%s: %s", t.name, fetched)
		}
	}); err != nil {
		return nil, fmt.Errorf("fetch the modules of the %s: %w", t.name, err)
	}
	if len(fetched.zips) > 0 {
		lines.Printf("%s: %s in %s", t.name, fetched, short(time.Since(begin)))
	}
	return stale, nil
}

// build fetches what is missing and compiles the programs into the target's folder.
func (t target) build(ctx context.Context, lines *Lines) error {
	stale, err := t.fetch(ctx, lines)
	if err != nil {
		return err
	}
	return t.compile(ctx, lines, stale)
}

func (t target) compile(ctx context.Context, lines *Lines, stale []string) error {
	if err := os.MkdirAll(t.folder, 0o755); err != nil {
		return err
	}
	begin := time.Now()
	compiled := newCompiled(stale, begin, runtime.NumCPU())
	if len(stale) > 0 {
		lines.Printf("%s: %s", t.name, compiled)
	}
	pace := newPace(begin)
	args := append([]string{"build", "-v", "-o", t.folder + string(filepath.Separator)}, t.flags...)
	if _, err := t.tool.with(collection()...).run(ctx, func(line string) {
		if compiled.add(line) && pace.due(time.Now()) {
			compiled.now = time.Now()
			lines.Printf("%s: %s", t.name, compiled)
		}
	}, append(args, t.packages...)...); err != nil {
		return fmt.Errorf("build the %s: %w", t.name, err)
	}
	if len(stale) > 0 {
		lines.Printf("%s: built in %s", t.name, short(time.Since(begin)))
	}
	return nil
}

// collection leaves alone what somebody has set.
func collection() []string {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	return []string{compilerGC}
}
