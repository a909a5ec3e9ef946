package ocirepository

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/klauspost/compress/zstd"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/ocitest"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// entry is one entry of a tarball.
type entry struct {
	name    string
	kind    byte
	content string
	link    string
	mode    int64
}

func tarball(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		h := &tar.Header{
			Name: e.name, Typeflag: e.kind, Size: int64(len(e.content)), Linkname: e.link, Mode: 0o644 | e.mode,
			ModTime: time.Unix(1, 0), Uid: 1000, Uname: "somebody",
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	if _, err := zw.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, content []byte) []byte {
	t.Helper()
	zw, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return zw.EncodeAll(content, nil)
}

// bench is a reconciler without a cluster, whose storage is dir.
type bench struct {
	*Reconciler
	dir string
}

func newBench(t testing.TB, limits pack.Limits) *bench {
	t.Helper()
	dir := t.TempDir()
	files, err := store.Open(dir, store.Options{Address: "source"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	return &bench{dir: dir, Reconciler: &Reconciler{
		Runner: attempt.Runner[*sourcev1.OCIRepository]{Store: files, Clock: time.Now}, Connections: wire.NewPool(), Limits: limits,
	}}
}

func (b *bench) attempt(ctx context.Context, obj *sourcev1.OCIRepository) Outcome {
	return b.Attempt(ctx, obj, plan.Observed{Artifact: obj.Status.Artifact})
}

func object(reg *ocitest.Registry) *sourcev1.OCIRepository {
	return &sourcev1.OCIRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "web", UID: "1", Generation: 1},
		Spec:       sourcev1.OCIRepositorySpec{URL: reg.URL("app"), Insecure: true, Interval: metav1.Duration{Duration: time.Minute}},
	}
}

func (b *bench) files(t testing.TB, artifact string) (names []string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(b.dir, artifact))
	if err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

// leftovers are the files in the storage that are no artifact.
func (b *bench) leftovers(t testing.TB) (found []string) {
	t.Helper()
	err := filepath.WalkDir(b.dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != store.Latest && !strings.HasSuffix(e.Name(), ".tar.gz") || strings.Contains(e.Name(), ".tmp-") {
			found = append(found, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var honest = []entry{{name: "app/", kind: tar.TypeDir}, {name: "app/a.yaml", content: "a: 1\n"}, {name: "b.sh", content: "b", mode: 0o111}}

// TestHowALayerIsCompressed: the artifact is what is in it.
func TestHowALayerIsCompressed(t *testing.T) {
	t.Parallel()
	plain := tarball(t, honest...)
	var digests []string
	for name, content := range map[string][]byte{"gzip": gzipped(t, plain), "zstd": zstandard(t, plain), "not at all": plain} {
		reg, b := ocitest.New(t), newBench(t, pack.Limits{Bytes: 1 << 20, Files: 100})
		digest := reg.Push(t, "app", "latest", ocitest.Flux(content, nil))
		out := b.attempt(t.Context(), object(reg))
		if out.Problem != nil {
			t.Fatalf("%s: %v", name, out.Problem)
		}
		if out.Artifact.Revision != "latest@"+digest || out.Artifact.Path != "ocirepository/apps/web/"+digest+".tar.gz" {
			t.Errorf("%s: %+v", name, out.Artifact)
		}
		if got := b.files(t, out.Artifact.Path); !slices.Equal(got, []string{"app/", "app/a.yaml", "b.sh"}) {
			t.Errorf("%s: files %v", name, got)
		}
		digests = append(digests, out.Artifact.Digest)
	}
	if len(slices.Compact(digests)) != 1 {
		t.Errorf("the same content has the digests %v", digests)
	}
}

// TestCopiedLayerIsAsItIs: HelmRelease.chartRef takes the chart that helm pushed, byte by byte.
func TestCopiedLayerIsAsItIs(t *testing.T) {
	t.Parallel()
	reg, b := ocitest.New(t), newBench(t, pack.Limits{Bytes: 1 << 20, Files: 100})
	chart := gzipped(t, tarball(t, entry{name: "web/Chart.yaml", content: "apiVersion: v2\nname: web\nversion: 1.0.0\n"}))
	artifact := ocitest.Chart(chart)
	artifact.Layers = append([]ocitest.Layer{{MediaType: "application/vnd.cncf.helm.chart.provenance.v1.prov", Content: []byte("signed")}}, artifact.Layers...)
	reg.Push(t, "app", "1.0.0", artifact)
	obj := object(reg)
	obj.Spec.Reference = &sourcev1.OCIRepositoryRef{SemVer: "1.x"}
	obj.Spec.LayerSelector = &sourcev1.OCILayerSelector{MediaType: ocitest.ChartMediaType, Operation: sourcev1.OCILayerCopy}
	out := b.attempt(t.Context(), obj)
	if out.Problem != nil {
		t.Fatal(out.Problem)
	}
	stored, err := os.ReadFile(filepath.Join(b.dir, out.Artifact.Path))
	if err != nil || !bytes.Equal(stored, chart) {
		t.Errorf("stored %d bytes of %d, %v", len(stored), len(chart), err)
	}
	if out.Artifact.Digest != digestOf(chart) {
		t.Errorf("digest %s, want that of the layer", out.Artifact.Digest)
	}
	obj.Spec.LayerSelector.MediaType = "application/x-other"
	out = b.attempt(t.Context(), obj)
	if p := out.Problem; p == nil || p.Reason != sourcev1.OCILayerOperationFailedReason || !strings.Contains(p.Message, "none of the 2 layers") {
		t.Errorf("a layer that is not there: %+v", p)
	}
}

// hostile are layers that do harm to those who unpack them without care, and what is said of them.
func hostile(t *testing.T) map[string]struct {
	layer  []byte
	text   string
	reason string
} {
	type bad = struct {
		layer  []byte
		text   string
		reason string
	}
	zip := func(entries ...entry) []byte { return gzipped(t, tarball(t, entries...)) }
	const layer = sourcev1.OCILayerOperationFailedReason
	many := make([]entry, 101)
	for i := range many {
		many[i] = entry{name: fmt.Sprint(i)}
	}
	whole := zip(honest...)
	return map[string]bad{
		"S-03: a path upwards":             {zip(entry{name: "../../canary", content: "x"}), "unsafe path", layer},
		"S-03: a path upwards, hidden":     {zip(entry{name: "a/../../canary", content: "x"}), "unsafe path", layer},
		"S-03: an absolute path":           {zip(entry{name: "/tmp/canary", content: "x"}), "unsafe path", layer},
		"S-03: a path of Windows":          {zip(entry{name: `..\canary`, content: "x"}), "unsafe path", layer},
		"S-03: into .git":                  {zip(entry{name: "a/.git/config", content: "x"}), "unsafe path", layer},
		"S-06: a file that is a folder":    {zip(entry{name: "a", content: "x"}, entry{name: "a/b", content: "x"}), "unsafe path", layer},
		"S-12: 2 MiB of nothing":           {zip(entry{name: "zero", content: strings.Repeat("\x00", 2<<20)}), "raise --artifact-max-size", layer},
		"S-12: in zstd":                    {zstandard(t, tarball(t, entry{name: "zero", content: strings.Repeat("\x00", 2<<20)})), "raise --artifact-max-size", layer},
		"S-12: many files":                 {zip(many...), "raise --artifact-max-size or --artifact-max-files", layer},
		"S-12: nothing after the tarball":  {gzipped(t, append(tarball(t, honest...), make([]byte, 8<<20)...)), "layer", layer},
		"S-12: folders in folders":         {zip(entry{name: strings.Repeat("d/", 300) + "f", content: "x"}), "nested more than", layer},
		"S-12: a large layer":              {[]byte(strings.Repeat("x", 2<<20)), "raise --artifact-max-size", layer},
		"no tarball":                       {[]byte("kind: ConfigMap"), "is not a tarball", layer},
		"nothing":                          {[]byte{}, "", ""},
		"half a tarball":                   {whole[:len(whole)/2], "is not a tarball, or not a whole one", layer},
		"a tarball with a wrong checksum":  {append(slices.Clone(whole[:len(whole)-8]), 0, 0, 0, 0, 0, 0, 0, 0), "is not a tarball, or not a whole one", layer},
		"a tarball of zstd, cut off":       {zstandard(t, tarball(t, honest...))[:40], "is not a tarball, or not a whole one", layer},
		"a zstd stream with a huge window": {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0, 0, 0}, "is not a tarball, or not a whole one", layer},
	}
}

// TestS12S03S06HostileLayers: nothing is written where it does not belong, nothing is kept, and the last good artifact stays.
func TestS12S03S06HostileLayers(t *testing.T) {
	t.Parallel()
	for name, tc := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg, b := ocitest.New(t), newBench(t, pack.Limits{Bytes: 1 << 20, Files: 100})
			obj := object(reg)
			reg.Push(t, "app", "latest", ocitest.Flux(gzipped(t, tarball(t, honest...)), nil))
			good := b.attempt(t.Context(), obj)
			if good.Problem != nil {
				t.Fatal(good.Problem)
			}
			obj.Status.Artifact = good.Artifact

			reg.Push(t, "app", "latest", ocitest.Flux(tc.layer, nil))
			out := b.Attempt(t.Context(), obj, plan.Observed{Artifact: good.Artifact, Stored: true})
			if tc.reason == "" {
				if out.Problem != nil {
					t.Errorf("refused: %v", out.Problem)
				}
				return
			}
			if p := out.Problem; p == nil || p.Reason != tc.reason || !strings.Contains(p.Message, tc.text) || p.Volume {
				t.Errorf("%+v, want %q", p, tc.text)
			}
			if out.Artifact.Digest != good.Artifact.Digest {
				t.Error("another artifact is advertised")
			}
			if got := b.files(t, good.Artifact.Path); len(got) != 3 {
				t.Errorf("the last good artifact has %v", got)
			}
			if found := b.leftovers(t); len(found) > 0 {
				t.Errorf("left over: %v", found)
			}
		})
	}
}

// TestLinksAreLeftOut: as Flux does, and as they are out of every artifact.
func TestLinksAreLeftOut(t *testing.T) {
	t.Parallel()
	reg, b := ocitest.New(t), newBench(t, pack.Limits{Bytes: 1 << 20, Files: 100})
	reg.Push(t, "app", "latest", ocitest.Flux(gzipped(t, tarball(t,
		entry{name: "up", kind: tar.TypeSymlink, link: "../../../etc"}, entry{name: "hard", kind: tar.TypeLink, link: "/etc/passwd"},
		entry{name: "fifo", kind: tar.TypeFifo}, entry{name: "a.yaml", content: "a: 1\n"})), nil))
	out := b.attempt(t.Context(), object(reg))
	if out.Problem != nil {
		t.Fatal(out.Problem)
	}
	if got := b.files(t, out.Artifact.Path); !slices.Equal(got, []string{"a.yaml"}) {
		t.Errorf("files: %v", got)
	}
}

// TestF37LayerThatDoesNotFit: a layer that was changed on its way is not stored, copied or unpacked, however whole it looks.
func TestF37LayerThatDoesNotFit(t *testing.T) {
	t.Parallel()
	type compress = func(testing.TB, []byte) []byte
	asItIs := func(_ testing.TB, content []byte) []byte { return content }
	for name, tc := range map[string]struct {
		operation string
		compress  compress
	}{
		"extracted, gzip":           {sourcev1.OCILayerExtract, gzipped},
		"extracted, zstd":           {sourcev1.OCILayerExtract, zstandard},
		"extracted, not compressed": {sourcev1.OCILayerExtract, asItIs},
		"copied":                    {sourcev1.OCILayerCopy, gzipped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg, b := ocitest.New(t), newBench(t, pack.Limits{Bytes: 1 << 20, Files: 100})
			layer := tc.compress(t, tarball(t, honest...))
			reg.Push(t, "app", "latest", ocitest.Flux(layer, nil))
			forged := forge(t, len(layer), tc.compress)
			reg.Before(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/blobs/") {
					return false
				}
				_, _ = w.Write(forged)
				return true
			})
			obj := object(reg)
			obj.Spec.LayerSelector = &sourcev1.OCILayerSelector{Operation: tc.operation}
			out := b.attempt(t.Context(), obj)
			if p := out.Problem; p == nil || p.Reason != sourcev1.OCILayerOperationFailedReason || p.Condition != sourcev1.FetchFailedCondition ||
				!strings.Contains(p.Message, "wrong digest") {
				t.Errorf("%+v", p)
			}
			if out.Artifact != nil {
				t.Errorf("%+v was stored", out.Artifact)
			}
			if found := b.leftovers(t); len(found) > 0 {
				t.Errorf("left over: %v", found)
			}
		})
	}
}

// forge is a tarball that is whole, has the length of the honest one, and is another one.
func forge(t *testing.T, length int, compress func(testing.TB, []byte) []byte) []byte {
	t.Helper()
	for letter := 'c'; letter <= 'z'; letter++ {
		forged := compress(t, tarball(t, append(slices.Clone(honest[:2]), entry{name: string(letter) + ".sh", content: string(letter), mode: 0o111})...))
		if len(forged) == length {
			return forged
		}
	}
	t.Fatal("no forgery has the right length")
	return nil
}

// TestRestoreByDigest: what a tag does not name any more is still there by its digest.
func TestRestoreByDigest(t *testing.T) {
	t.Parallel()
	reg, b := ocitest.New(t), newBench(t, pack.Limits{Bytes: 1 << 20, Files: 100})
	reg.Push(t, "app", "latest", ocitest.Flux(gzipped(t, tarball(t, honest...)), nil))
	obj := object(reg)
	out := b.attempt(t.Context(), obj)
	if out.Problem != nil {
		t.Fatal(out.Problem)
	}
	obj.Status.Artifact = out.Artifact
	file := filepath.Join(b.dir, out.Artifact.Path)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	reg.Before(func(w http.ResponseWriter, r *http.Request) bool {
		gone := strings.HasSuffix(r.URL.Path, "/manifests/latest")
		if gone {
			w.WriteHeader(http.StatusNotFound)
		}
		return gone
	})
	if out := b.attempt(t.Context(), obj); out.Problem == nil || out.Artifact.Digest != obj.Status.Artifact.Digest {
		t.Errorf("a tag that is gone: %+v", out.Problem)
	}
	if !b.Restore(t.Context(), obj) {
		t.Fatal("not restored")
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("restored %d bytes of %d, %v", len(after), len(before), err)
	}
	reg.Close()
	if b.Restore(t.Context(), obj) {
		t.Error("restored from a registry that is down")
	}
}
