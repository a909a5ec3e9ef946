package build

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFirstLine(t *testing.T) {
	demo := Goal{Name: "demo", Cluster: true, Then: "the demo", Takes: 25 * time.Second}
	tests := map[string]struct {
		reason string
		goal   Goal
		todo   work
		cores  int
		want   string
	}{
		"nothing there": {
			reason: "modules, packages and what comes after are in the sum",
			goal:   demo, todo: work{modules: 370, packages: 3900}, cores: 2,
			want: "make demo: about 7 minutes on 2 cores: about 370 modules to fetch, 3900 packages to compile; then the demo, about 30 seconds",
		},
		"more cores": {
			reason: "compiling is divided among them, fetching is not",
			goal:   demo, todo: work{modules: 370, packages: 3900}, cores: 8,
			want: "make demo: about 2½ minutes on 8 cores: about 370 modules to fetch, 3900 packages to compile; then the demo, about 30 seconds",
		},
		"a commit": {
			reason: "what is compiled already is not counted",
			goal:   demo, todo: work{packages: 12}, cores: 2,
			want: "make demo: about 30 seconds on 2 cores: 12 packages to compile; then the demo, about 30 seconds",
		},
		"all there": {
			reason: "then there is nothing to estimate but the demo",
			goal:   demo, cores: 2,
			want: "make demo: everything is compiled; then the demo, about 30 seconds",
		},
		"build alone": {
			reason: "make build has nothing after it",
			goal:   Goal{Name: "build"}, todo: work{packages: 1000}, cores: 2,
			want: "make build: about 1½ minutes on 2 cores: 1000 packages to compile",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.goal.firstLine(test.todo, test.cores); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.reason, got, test.want)
			}
		})
	}
}

func TestCompiled(t *testing.T) {
	begin := time.Unix(0, 0)
	tests := map[string]struct {
		reason string
		lines  []string
		after  time.Duration
		want   string
	}{
		"begin":  {"before anything is compiled, what was measured elsewhere counts", nil, 0, "0 of 4 packages compiled, some seconds to go"},
		"others": {"what go build says besides is no package", []string{"# example.org/a", "go: downloading a v1"}, 0, "0 of 4 packages compiled, some seconds to go"},
		"twice":  {"a package counts once", []string{"a", "a"}, 0, "1 of 4 packages compiled, some seconds to go"},
		"slow":   {"a slow machine is believed", []string{"a", "b", "c"}, 12 * time.Minute, "3 of 4 packages compiled, about 3 minutes to go"},
		"links":  {"when the last package is begun, programs are linked", []string{"a", "b", "c", "d"}, time.Minute, "all 4 packages compiled, linking"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCompiled([]string{"a", "b", "c", "d"}, begin, 2)
			for _, line := range test.lines {
				c.add(line)
			}
			c.now = begin.Add(test.after)
			if got := c.String(); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.reason, got, test.want)
			}
		})
	}
}

func TestFetched(t *testing.T) {
	cache := t.TempDir()
	zip := filepath.Join(cache, "cache", "download", "github.com", "!example", "m", "@v", "v1.0.0-!r!c.zip")
	if err := os.MkdirAll(filepath.Dir(zip), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(zip, make([]byte, 3_000_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &fetched{cache: cache}
	for line, module := range map[string]bool{
		"go: downloading github.com/Example/m v1.0.0-RC": true,
		"go: downloading example.org/not-yet-there v1.0": true,
		"go: warning: something else":                    false,
	} {
		if f.add(line) != module {
			t.Errorf("%q taken for a module: %t", line, !module)
		}
	}
	if got, want := f.String(), "2 modules, 3 MB fetched"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPace(t *testing.T) {
	begin := time.Unix(0, 0)
	p := newPace(begin)
	for _, test := range []struct {
		after time.Duration
		due   bool
	}{{time.Second, false}, {11 * time.Second, true}, {12 * time.Second, false}, {22 * time.Second, true}} {
		if got := p.due(begin.Add(test.after)); got != test.due {
			t.Errorf("after %s due is %t", test.after, got)
		}
	}
}
