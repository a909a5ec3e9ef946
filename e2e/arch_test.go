package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The architecture as rules over imports. Each rule is a function of the list of imports alone, so that
// TestArchitectureRules can show that it catches what it is there to catch.

const module = "github.com/sluice-gitops/sluice/"

var controllers = []string{"source-controller", "render-controller", "sync-controller", "notify-controller"}

// topLevel is everything that may stand beside dotfiles at the root of the repository.
var topLevel = []string{
	"source-controller", "render-controller", "sync-controller", "notify-controller",
	"api", "charts", "e2e", "go.work", "go.work.sum", "Makefile", "README.md", "LICENSE", "bin",
}

// heavy libraries are imported by one package per module: the one that is named after what it does with them.
var heavy = []string{
	"helm.sh/helm/v3", "github.com/getsops/sops/v3", "github.com/go-git/go-git/v5", "sigs.k8s.io/kustomize/api",
}

// imported is one import of one file; pkg is the folder of the file below the root.
type imported struct {
	pkg, file, path string
	test            bool
}

func (i imported) controller() string {
	first, _, _ := strings.Cut(i.pkg, "/")
	if slices.Contains(controllers, first) {
		return first
	}
	return ""
}

type rule struct {
	reason string
	breach func(all []imported) []string
}

// syncRooms are the packages of sync-controller, see api/decisions/0019-rooms-of-sync.md.
const syncRooms = "sync-controller/internal/"

// syncAction says which of the packages that change the cluster a package of sync-controller belongs to.
func syncAction(room string) (action string, ok bool) {
	action, _, _ = strings.Cut(room, "/")
	return action, slices.Contains([]string{"apply", "prune", "heal", "health", "release"}, action)
}

// sourceRooms are the packages of source-controller, and upstreams the rooms whose job is to speak to one: each library of a
// protocol, a cloud or a signature is imported there alone, and by the servers that tests run.
const sourceRooms = "source-controller/internal/"

var upstreams = map[string][]string{
	"github.com/google/go-containerregistry":        {"oci", "ocitest", "verify"},
	"oras.land/oras-go":                             {"verify"},
	"github.com/sigstore":                           {"verify"},
	"github.com/notaryproject":                      {"verify"},
	"github.com/ProtonMail/go-crypto":               {"verify", "gittest"},
	"github.com/minio/minio-go/v7":                  {"bucket"},
	"cloud.google.com/go/storage":                   {"bucket"},
	"github.com/Azure/azure-sdk-for-go/sdk/storage": {"bucket"},
	"github.com/fluxcd/pkg/auth":                    {"identity"},
	"golang.org/x/crypto/ssh":                       {"ssh", "gittest", "verify"},
}

// kindsOfSources is where each kind has its folder.
const kindsOfSources = sourceRooms + "controller/"

func kindOfSource(pkg string) string {
	kind, below := strings.CutPrefix(pkg, kindsOfSources)
	if !below {
		return ""
	}
	kind, _, _ = strings.Cut(kind, "/")
	return kind
}

var rules = map[string]rule{
	"ControllersMeetThroughTheAPI": {
		reason: "no controller imports another: they meet through CR status and events",
		breach: each(func(i imported) bool {
			rest, ours := strings.CutPrefix(i.path, module)
			other, _, _ := strings.Cut(rest, "/")
			return ours && i.controller() != "" && other != i.controller() && slices.Contains(controllers, other)
		}),
	},
	"DecisionsArePure": {
		reason: "internal/plan imports no client, no context and no logger",
		breach: each(func(i imported) bool {
			return !i.test && strings.Contains(i.pkg+"/", "/internal/plan/") && under(i.path,
				"context", "net/http", "os", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/go-logr/logr", "github.com/nats-io")
		}),
	},
	"OnlyTheBusSpeaksNATS": {
		reason: "nothing but the bus over NATS and the contract suite imports nats.go; the other rooms of api/bus know no broker",
		breach: each(func(i imported) bool {
			return under(i.path, "github.com/nats-io/nats.go") && i.pkg != "api/bus/jetstream" && i.pkg != "api/bus/bustest"
		}),
	},
	"TheAPIKnowsNoController": {
		reason: "api imports nothing of ours but itself",
		breach: each(func(i imported) bool {
			return strings.HasPrefix(i.pkg+"/", "api/") && strings.HasPrefix(i.path, module) && !strings.HasPrefix(i.path, module+"api/")
		}),
	},
	"RoomsKnowNoController": {
		reason: "sync-controller's rooms do not import internal/controller: it knows them",
		breach: each(func(i imported) bool {
			return strings.HasPrefix(i.pkg, syncRooms) && i.pkg != syncRooms+"controller" && i.path == module+syncRooms+"controller"
		}),
	},
	"MemoryIsPure": {
		reason: "sync-controller's subject, attempt and fingerprint import no client and no file system",
		breach: each(func(i imported) bool {
			return !i.test && slices.Contains([]string{"subject", "attempt", "fingerprint"}, strings.TrimPrefix(i.pkg, syncRooms)) &&
				under(i.path, "net/http", "os", "k8s.io/client-go", "sigs.k8s.io/controller-runtime")
		}),
	},
	"OnlyEventsEmits": {
		reason: "in sync-controller nothing but internal/events writes or announces events",
		breach: each(func(i imported) bool {
			return !i.test && i.controller() == "sync-controller" && i.pkg != syncRooms+"events" &&
				under(i.path, "k8s.io/client-go/tools/record", "k8s.io/client-go/tools/events", module+"api/event")
		}),
	},
	"ActionsStandAlone": {
		reason: "sync-controller's actions import no other action; apply alone may be imported, for the changes that all report",
		breach: each(func(i imported) bool {
			from, action := syncAction(strings.TrimPrefix(i.pkg, syncRooms))
			to, other := syncAction(strings.TrimPrefix(i.path, module+syncRooms))
			return !i.test && action && other && from != to && to != "apply"
		}),
	},
	"KindsOfSourcesStandAlone": {
		reason: "in source-controller no kind imports another, nor internal/controller: what they share is in rooms of its own",
		breach: each(func(i imported) bool {
			kind := kindOfSource(i.pkg)
			other, ours := strings.CutPrefix(i.path, module+strings.TrimSuffix(kindsOfSources, "/"))
			return !i.test && kind != "" && ours && other != "/"+kind && !strings.HasPrefix(other, "/"+kind+"/")
		}),
	},
	"UpstreamsHaveTheirRooms": {
		reason: "source-controller's libraries of protocols, clouds and signatures are each imported by the room that is there for it",
		breach: each(func(i imported) bool {
			room, source := strings.CutPrefix(i.pkg, sourceRooms)
			room, _, _ = strings.Cut(room, "/")
			for library, rooms := range upstreams {
				if source && !i.test && under(i.path, library) && !slices.Contains(rooms, room) {
					return true
				}
			}
			return false
		}),
	},
	"HeavyLibrariesHaveOneHome": {
		reason: "helm, sops, go-git and kustomize are each imported by one package per controller",
		breach: func(all []imported) []string {
			homes := map[string][]string{}
			for _, i := range all {
				for _, library := range heavy {
					key := i.controller() + " " + library
					if !i.test && i.controller() != "" && under(i.path, library) && !slices.Contains(homes[key], i.pkg) {
						homes[key] = append(homes[key], i.pkg)
					}
				}
			}
			var found []string
			for key, pkgs := range homes {
				if len(pkgs) > 1 {
					found = append(found, fmt.Sprintf("%s: %v", key, pkgs))
				}
			}
			return found
		},
	},
}

func TestArchitecture(t *testing.T) {
	all := readImports(t, "..")
	if len(all) < 100 {
		t.Fatalf("read only %d imports: is the working directory e2e?", len(all))
	}
	for name, r := range rules {
		t.Run(name, func(t *testing.T) {
			for _, breach := range r.breach(all) {
				t.Errorf("%s: %s", r.reason, breach)
			}
		})
	}
}

func TestArchitectureRules(t *testing.T) {
	broken := map[string][]imported{
		"ControllersMeetThroughTheAPI": {{pkg: "sync-controller/internal/plan", path: module + "render-controller/internal/tree"}},
		"DecisionsArePure":             {{pkg: "sync-controller/internal/plan", path: "sigs.k8s.io/controller-runtime/pkg/client"}},
		"OnlyTheBusSpeaksNATS":         {{pkg: "api/bus", path: "github.com/nats-io/nats.go/jetstream"}},
		"TheAPIKnowsNoController":      {{pkg: "api/event", path: module + "notify-controller/internal/route"}},
		"RoomsKnowNoController":        {{pkg: "sync-controller/internal/heal", path: module + "sync-controller/internal/controller"}},
		"MemoryIsPure":                 {{pkg: "sync-controller/internal/attempt", path: "sigs.k8s.io/controller-runtime/pkg/client"}},
		"OnlyEventsEmits":              {{pkg: "sync-controller/internal/controller", path: "k8s.io/client-go/tools/record"}},
		"ActionsStandAlone":            {{pkg: "sync-controller/internal/heal", path: module + "sync-controller/internal/prune"}},
		"KindsOfSourcesStandAlone":     {{pkg: kindsOfSources + "bucket", path: module + kindsOfSources + "gitrepository"}},
		"UpstreamsHaveTheirRooms":      {{pkg: kindsOfSources + "bucket", path: "github.com/minio/minio-go/v7/pkg/credentials"}},
		"HeavyLibrariesHaveOneHome": {
			{pkg: "render-controller/internal/helm", path: "helm.sh/helm/v3/pkg/chart"},
			{pkg: "render-controller/internal/controller", path: "helm.sh/helm/v3/pkg/release"},
		},
	}
	for name, r := range rules {
		t.Run(name, func(t *testing.T) {
			if len(r.breach(broken[name])) == 0 {
				t.Errorf("the rule %q does not see %v", r.reason, broken[name])
			}
			if found := r.breach([]imported{{pkg: "sync-controller/internal/plan", path: module + "api/v1alpha1"}}); len(found) > 0 {
				t.Errorf("the rule %q refuses what it should allow: %v", r.reason, found)
			}
		})
	}
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") && !slices.Contains(topLevel, entry.Name()) {
			t.Errorf("%s stands at the root: the layout is %v", entry.Name(), topLevel)
		}
	}
}

func TestControllersHaveOneShape(t *testing.T) {
	for _, controller := range controllers {
		for _, want := range []string{"main.go", "README.md", "Dockerfile", "internal/config", "internal/controller", "internal/plan"} {
			if _, err := os.Stat(filepath.Join("..", controller, want)); err != nil {
				t.Errorf("%s has no %s: read one controller and you know the others", controller, want)
			}
		}
		readme, err := os.ReadFile(filepath.Join("..", controller, "README.md"))
		for _, heading := range []string{"## Log", "## Metrics"} {
			if err == nil && !strings.Contains(string(readme), "\n"+heading+"\n") {
				t.Errorf("%s/README.md has no %q: whoever operates it looks there", controller, heading)
			}
		}
		main, err := os.ReadFile(filepath.Join("..", controller, "main.go"))
		if err != nil {
			continue
		}
		if lines := strings.Count(string(main), "\n"); lines > 60 {
			t.Errorf("%s/main.go has %d lines; 60 are the most", controller, lines)
		}
	}
}

// Only package record writes Sync records: to apply one takes its kind's name.
func TestOnlyRecordWritesSync(t *testing.T) {
	if found := outsideOf("internal/record/", "v1alpha1.SyncKind", map[string]string{"internal/heal/heal.go": "v1alpha1.SyncKind"}); len(found) != 1 {
		t.Errorf("the rule sees %v", found)
	}
	sources := readSources(t, filepath.Join("..", "sync-controller"))
	if len(outsideOf("nowhere", "v1alpha1.SyncKind", sources)) == 0 {
		t.Error("nothing applies Sync records at all: is the rule looking for the right words?")
	}
	for _, file := range outsideOf("internal/record/", "v1alpha1.SyncKind", sources) {
		t.Errorf("%s writes Sync records: package record does", file)
	}
}

// outsideOf names the files outside of a folder that have the words.
func outsideOf(folder, words string, sources map[string]string) []string {
	var found []string
	for file, text := range sources {
		if !strings.HasPrefix(file, folder) && strings.Contains(text, words) {
			found = append(found, file)
		}
	}
	return found
}

// A room that grows over this share of its module, and over this many lines, is divided.
const (
	maxShare = 0.3
	maxLines = 1500
)

func TestNoRoomIsTooBig(t *testing.T) {
	if found := tooBig(map[string]string{"internal/a/a.go": strings.Repeat("\n", 1501), "internal/b/b.go": strings.Repeat("\n", 3000)}); len(found) != 2 {
		t.Errorf("a third and two thirds of a module: the rule sees %v", found)
	}
	if found := tooBig(map[string]string{"internal/a/a.go": strings.Repeat("\n", 1500)}); len(found) != 0 {
		t.Errorf("a small module needs no rooms: the rule sees %v", found)
	}
	for _, m := range append([]string{"api"}, controllers...) {
		for _, room := range tooBig(readSources(t, filepath.Join("..", m))) {
			t.Errorf("%s/%s: more than %.0f %% of its module and %d lines; divide it by nouns", m, room, 100*maxShare, maxLines)
		}
	}
}

// tooBig names the folders that hold too much of the sources' lines.
func tooBig(sources map[string]string) []string {
	lines, all := map[string]int{}, 0
	for file, text := range sources {
		n := strings.Count(text, "\n")
		lines[path.Dir(file)] += n
		all += n
	}
	var found []string
	for folder, n := range lines {
		if n > maxLines && float64(n) > maxShare*float64(all) {
			found = append(found, fmt.Sprintf("%s (%d of %d lines)", folder, n, all))
		}
	}
	return found
}

// readSources returns the Go files of a module that people write and that are no tests, by their paths in it.
func readSources(t *testing.T, root string) map[string]string {
	t.Helper()
	sources := map[string]string{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || generated.MatchString(entry.Name()) {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		sources[filepath.ToSlash(relative)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func each(breaks func(imported) bool) func([]imported) []string {
	return func(all []imported) []string {
		var found []string
		for _, i := range all {
			if breaks(i) {
				found = append(found, fmt.Sprintf("%s/%s imports %s", i.pkg, i.file, i.path))
			}
		}
		return found
	}
}

func under(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return path == root || strings.HasPrefix(path, root+"/") })
}

var generated = regexp.MustCompile(`^zz_generated`)

func readImports(t *testing.T, root string) []imported {
	t.Helper()
	var all []imported
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != root {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || generated.MatchString(entry.Name()) {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			all = append(all, imported{pkg: filepath.ToSlash(pkg), file: entry.Name(), path: target, test: strings.HasSuffix(path, "_test.go")})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
