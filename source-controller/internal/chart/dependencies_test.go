package chart_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	helm "helm.sh/helm/v3/pkg/chart"

	"github.com/sluice-gitops/sluice/source-controller/internal/chart"
)

// shelf has every version of every chart, and notes what it was asked for.
type shelf struct {
	mu    sync.Mutex
	asked []string
	// newest is the version that a range gets.
	newest string
	now    int
	most   int
	meet   chan struct{}
}

type closing struct{ *bytes.Reader }

func (closing) Close() error { return nil }

func (s *shelf) Chart(_ context.Context, repository, name, version string) (io.ReadSeekCloser, error) {
	s.mu.Lock()
	s.asked = append(s.asked, fmt.Sprintf("%s %s %s", repository, name, version))
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	if s.meet != nil {
		s.meet <- struct{}{}
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now--
	}()
	if name == "broken" {
		return nil, errors.New("it is out of print")
	}
	if s.newest != "" && strings.ContainsAny(version, "x><*") {
		version = s.newest
	}
	var t fatal
	return closing{bytes.NewReader(archive(&t, map[string]string{name + "/Chart.yaml": "apiVersion: v2\nname: " + name + "\nversion: " + version + "\n"}))}, nil
}

// fatal is a test for code that runs beside it, which can only panic.
type fatal struct{ testing.TB }

func (*fatal) Helper()           {}
func (*fatal) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func wants(dependencies ...string) string {
	return "apiVersion: v2\nname: demo\nversion: 1.0.0\ndependencies:\n" + strings.Join(dependencies, "")
}

func need(name, version, repository, alias string) string {
	text := fmt.Sprintf("- name: %s\n  version: %q\n  repository: %q\n", name, version, repository)
	if alias != "" {
		text += "  alias: " + alias + "\n"
	}
	return text
}

const shop = "https://charts.example.com"

// lockOf is the Chart.lock that helm dependency update writes for some dependencies, wanted as want says.
func lockOf(t *testing.T, want, locked []*helm.Dependency) string {
	t.Helper()
	data, err := json.Marshal([2][]*helm.Dependency{want, locked})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	text := "generated: \"2026-01-02T03:04:05Z\"\ndigest: sha256:" + hex.EncodeToString(sum[:]) + "\ndependencies:\n"
	for _, l := range locked {
		text += need(l.Name, l.Version, l.Repository, "")
	}
	return text
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	want := []*helm.Dependency{{Name: "web", Version: "1.x", Repository: shop}}
	locked := []*helm.Dependency{{Name: "web", Version: "1.2.3", Repository: shop}}
	inSync := lockOf(t, want, locked)
	outOfSync := lockOf(t, []*helm.Dependency{{Name: "web", Version: "0.x", Repository: shop}}, locked)
	for name, tc := range map[string]struct {
		reason  string
		files   map[string]string
		asked   []string
		added   int
		version map[string]string
	}{
		"from a repository": {
			reason: "it is in no charts/",
			files:  map[string]string{"c/Chart.yaml": wants(need("web", "1.x", shop, ""))},
			asked:  []string{shop + " web 1.x"}, added: 1, version: map[string]string{"web": "1.9.0"},
		},
		"locked": {
			reason: "Chart.lock was written for what Chart.yaml says",
			files:  map[string]string{"c/Chart.yaml": wants(need("web", "1.x", shop, "")), "c/Chart.lock": inSync},
			asked:  []string{shop + " web 1.2.3"}, added: 1, version: map[string]string{"web": "1.2.3"},
		},
		"locked for something else": {
			reason: "Chart.yaml was changed since, and says what its author wants",
			files:  map[string]string{"c/Chart.yaml": wants(need("web", "1.x", shop, "")), "c/Chart.lock": outOfSync},
			asked:  []string{shop + " web 1.x"}, added: 1, version: map[string]string{"web": "1.9.0"},
		},
		"in charts/": {
			reason: "what is there is not fetched, whatever its version",
			files: map[string]string{
				"c/Chart.yaml": wants(need("web", "1.x", shop, "")), "c/charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\n",
			},
			version: map[string]string{"web": "0.1.0"},
		},
		"twice by other names": {
			reason: "two versions of a chart need two folders",
			files:  map[string]string{"c/Chart.yaml": wants(need("web", "1.0.0", shop, "one"), need("web", "2.0.0", shop, "two"))},
			asked:  []string{shop + " web 1.0.0", shop + " web 2.0.0"}, added: 2, version: map[string]string{"web": "1.0.0", "two": "2.0.0"},
		},
		"the same by other names": {
			reason: "Helm makes two of one",
			files:  map[string]string{"c/Chart.yaml": wants(need("web", "1.0.0", shop, "one"), need("web", "1.0.0", shop, "two"))},
			asked:  []string{shop + " web 1.0.0"}, added: 1, version: map[string]string{"web": "1.0.0"},
		},
		"from a registry": {
			reason: "they are asked like any other",
			files:  map[string]string{"c/Chart.yaml": wants(need("web", "1.0.0", "oci://registry.example.com/charts", ""))},
			asked:  []string{"oci://registry.example.com/charts web 1.0.0"}, added: 1, version: map[string]string{"web": "1.0.0"},
		},
		"of one that is local": {
			reason: "a chart in the source may depend on others, too",
			files: map[string]string{
				"c/Chart.yaml":   wants(need("lib", "1.x", "file://../lib", "")),
				"lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.0.0\ndependencies:\n" + need("web", "1.0.0", shop, ""),
			},
			asked: []string{shop + " web 1.0.0"}, added: 2, version: map[string]string{"lib": "1.0.0", "lib/charts/web": "1.0.0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shelf{newest: "1.9.0"}
			c, err := load(t, tc.files, options{Path: "c", Repositories: s})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(s.asked)
			if fmt.Sprint(s.asked) != fmt.Sprint(tc.asked) {
				t.Errorf("asked for %q, want %q: %s", s.asked, tc.asked, tc.reason)
			}
			_, files := packaged(t, c)
			for name, version := range tc.version {
				if got := files["demo/charts/"+name+"/Chart.yaml"]; !strings.Contains(got, "version: "+version+"\n") {
					t.Errorf("%s is %q, want version %s: %s", name, got, version, tc.reason)
				}
			}
		})
	}
}

// TestDependenciesAreBounded: in number, and in how many are downloaded at a time; which of several fails first does not depend
// on which is faster.
func TestDependenciesAreBounded(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 101 {
		many = append(many, need(fmt.Sprintf("c%d", i), "1.0.0", shop, ""))
	}
	s := &shelf{}
	_, err := load(t, map[string]string{"c/Chart.yaml": wants(many...)}, options{Path: "c", Repositories: s})
	if !errors.Is(err, chart.ErrDependency) || !strings.Contains(err.Error(), "more than 100 missing") || len(s.asked) > 0 {
		t.Errorf("got %v after %d downloads", err, len(s.asked))
	}
	s = &shelf{meet: make(chan struct{})}
	go func() {
		for range 20 {
			<-s.meet
		}
	}()
	if _, err := load(t, map[string]string{"c/Chart.yaml": wants(many[:20]...)}, options{Path: "c", Repositories: s}); err != nil || s.most > 4 {
		t.Errorf("%d at a time, %v", s.most, err)
	}
	broken := wants(need("one", "1.0.0", shop, ""), need("two", "1.0.0", "@alias", ""), need("broken", "1.0.0", shop, ""))
	for range 5 {
		_, err := load(t, map[string]string{"c/Chart.yaml": broken}, options{Path: "c", Repositories: &shelf{}})
		if err == nil || !strings.Contains(err.Error(), `"two" of chart "demo": its repository is an alias`) {
			t.Fatalf("got %v", err)
		}
	}
}

// TestS03LockFiles: a Chart.lock that is a link, or no lock, writes nothing anywhere and brings nothing down; the tarball of a
// source has no links anyway.
func TestS03LockFiles(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{"null": "null\n", "nulls": "dependencies: [null]\ndigest: x\n", "not YAML": "\t{"} {
		_, err := load(t, map[string]string{"c/Chart.yaml": wants(need("web", "1.0.0", shop, "")), "c/Chart.lock": lock}, options{Path: "c", Repositories: &shelf{}})
		if err != nil && !errors.Is(err, chart.ErrReference) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
