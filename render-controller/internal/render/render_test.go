package render

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/render-controller/internal/kustomize"
	"github.com/sluice-gitops/sluice/render-controller/internal/sops"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree/treetest"
	"github.com/sluice-gitops/sluice/render-controller/internal/worker"
)

// TestMain is the worker when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		if err := Serve(); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// newRenderer has one worker at a time, which may read what t.TempDir returns.
func newRenderer(t testing.TB, deadline time.Duration) *Renderer {
	t.Helper()
	pool := worker.NewPool(worker.Options{
		Command: []string{os.Args[0], "worker"}, Folder: filepath.Dir(t.TempDir()), Size: 1, Deadline: deadline,
	})
	t.Cleanup(pool.Close)
	return &Renderer{Pool: pool}
}

func writeTree(t testing.TB, files map[string]string) string {
	t.Helper()
	return treetest.New(t, files).Path
}

func testFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "sops", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: blue}\n"

func TestRenderDecryptsWithTheSubjectsKeys(t *testing.T) {
	renderer := newRenderer(t, 0)
	tree := writeTree(t, map[string]string{"a.yaml": settings, "s.yaml": string(testFile(t, "secret.sops.yaml"))})
	keys, err := sops.NewKeyring("apps/keys", map[string][]byte{"a.agekey": testFile(t, "test.agekey")})
	if err != nil {
		t.Fatal(err)
	}
	job := &Job{Tree: tree, Kustomize: &kustomize.Input{}, Decryption: &Decryption{}}
	result, err := renderer.Render(t.Context(), job, keys)
	if err != nil || len(result.Content.Objects) != 2 || len(result.Trace) == 0 {
		t.Fatalf("result %+v, error %v", result, err)
	}
	for _, object := range result.Content.Objects {
		if want := object.Object.GetKind() == "Secret"; object.Tainted != want {
			t.Errorf("%s is tainted: %v, want %v", object.Object.GetName(), object.Tainted, want)
		}
	}
	for name, keys := range map[string]Keys{"no keys": (*sops.Keyring)(nil), "nobody to ask": nil} {
		_, err := renderer.Render(t.Context(), job, keys)
		var failed *Failure
		if !errors.As(err, &failed) || failed.Reason != ReasonBuild || !strings.Contains(failed.Message, "s.yaml") {
			t.Errorf("%s: error %v, want a Failure that names the file", name, err)
		}
	}
}

func TestRenderFailures(t *testing.T) {
	cases := map[string]struct {
		reason   string
		job      Job
		deadline time.Duration
		want     Failure
	}{
		"path":     {"the artifact lacks it", Job{Kustomize: &kustomize.Input{Path: "none"}}, 0, Failure{Reason: ReasonArtifact, Message: "path not found"}},
		"build":    {"an object without a name", Job{Kustomize: &kustomize.Input{NamePrefix: "x", Components: []string{"none"}}}, 0, Failure{Reason: ReasonBuild, Message: "none"}},
		"deadline": {"the worker is killed", Job{Kustomize: &kustomize.Input{}}, time.Nanosecond, Failure{Reason: ReasonBuild, Message: "did not end within", Lost: true}},
		"no work":  {"the worker gives up", Job{}, 0, Failure{Reason: ReasonBuild, Message: "ended unexpectedly", Lost: true}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.job.Tree = writeTree(t, map[string]string{"a.yaml": settings})
			_, err := newRenderer(t, c.deadline).Render(t.Context(), &c.job, nil)
			var failed *Failure
			if !errors.As(err, &failed) || failed.Reason != c.want.Reason || failed.Lost != c.want.Lost || !strings.Contains(failed.Message, c.want.Message) {
				t.Errorf("%s: error %v, want %+v", c.reason, err, c.want)
			}
		})
	}
}

func TestRenderEndsWithItsContext(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newRenderer(t, 0).Render(ended, &Job{Kustomize: &kustomize.Input{}}, nil)
	var failed *Failure
	if err == nil || errors.As(err, &failed) {
		t.Errorf("error %v, want one that is no verdict on the subject", err)
	}
}
