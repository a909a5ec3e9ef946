package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket/s3"
	"github.com/sluice-gitops/sluice/source-controller/internal/buckettest"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

func limits() bucket.Limits { return bucket.Limits{Files: 1000, Bytes: 1 << 20} }

// service is a bucket of a server of this test's own.
func service(t testing.TB, objects map[string]string) (*buckettest.S3, bucket.Service) {
	t.Helper()
	server := buckettest.NewS3(t, "fleet")
	server.Put(objects)
	next, _ := wire.NewPool().Transport(wire.Peer{})
	s, err := s3.Open(t.Context(), s3.Options{
		Endpoint: server.Host(), Bucket: "fleet", Region: "us-east-1", Insecure: true, Kept: &bucket.Kept{},
		Transport: &bucket.Transport{Next: next, Peer: wire.Peer{Host: "store.example.com"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return server, s
}

func paths(l *bucket.Listing) (all []string) {
	for _, f := range l.Files {
		all = append(all, f.Path)
	}
	return all
}

// TestRevision: what Flux's source-controller v1.9.5 makes of the same bucket (internal/index, digest of "<key> <etag>\n").
func TestRevision(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		objects map[string]string
		want    string
	}{
		// printf 'b.yaml 92eb5ffee6ae2fec3ad71c777531578f\na/b 0cc175b9c0f1b6a831c399e269772661\n' | sort | sha256sum
		"two":   {map[string]string{"b.yaml": "b", "a/b": "a", "folder/": ""}, "sha256:ae674d0e0af9df87e1430b718907a9ee798e3f32f49a2d5a734be611037efa7d"},
		"empty": {nil, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := service(t, tc.objects)
			l, err := bucket.List(t.Context(), s, bucket.Query{Limits: limits()})
			if err != nil || l.Revision != tc.want {
				t.Errorf("got %+v, %v; want %s", l, err, tc.want)
			}
		})
	}
}

// TestIgnore: the rules of a bucket are .sourceignore at its root, and then spec.ignore; there are no others by default.
func TestIgnore(t *testing.T) {
	t.Parallel()
	objects := map[string]string{
		"a.yaml": "a", "b.jpg": "b", "docs/c.md": "c", "docs/keep.md": "k", ".gitignore": "x", "sub/.sourceignore": "*", "sub/d": "d",
		".git/config": "evil",
	}
	all := []string{".gitignore", "a.yaml", "b.jpg", "docs/c.md", "docs/keep.md", "sub/.sourceignore", "sub/d"}
	keep := "!docs/keep.md"
	for name, tc := range map[string]struct {
		rules  string
		ignore *string
		prefix string
		want   []string
	}{
		"nothing":        {want: all},
		"of the bucket":  {rules: "docs/\n*.jpg\n", want: []string{".gitignore", "a.yaml", "sub/.sourceignore", "sub/d"}},
		"of the object":  {rules: "docs/*\n", ignore: &keep, want: []string{".gitignore", "a.yaml", "b.jpg", "docs/keep.md", "sub/.sourceignore", "sub/d"}},
		"with a prefix":  {rules: "docs/c.md\n", prefix: "docs/", want: []string{"docs/keep.md"}},
		"half a segment": {prefix: "do", want: []string{"docs/c.md", "docs/keep.md"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, s := service(t, objects)
			if tc.rules != "" {
				server.Set(".sourceignore", buckettest.Object{Content: tc.rules})
			}
			l, err := bucket.List(t.Context(), s, bucket.Query{Prefix: tc.prefix, Ignore: tc.ignore, Limits: limits()})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, paths(l)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if string(l.Rules.Content) != tc.rules {
				t.Errorf("the artifact would have the rules %q", l.Rules.Content)
			}
		})
	}
}

// TestRequestsOfAPoll: a page has 1000 objects; rules that are known are not read again; .sourceignore is looked for at the
// root even if the prefix does not cover it.
func TestRequestsOfAPoll(t *testing.T) {
	t.Parallel()
	server, s := service(t, map[string]string{"a": "a", "sub/b": "b"})
	poll := func(q bucket.Query, want map[string]int) *bucket.Listing {
		t.Helper()
		q.Limits = limits()
		l, err := bucket.List(t.Context(), s, q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, server.Take()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		return l
	}
	poll(bucket.Query{}, map[string]int{"list": 1})
	poll(bucket.Query{Prefix: "sub/"}, map[string]int{"list": 2})
	server.Set(".sourceignore", buckettest.Object{Content: "b"})
	known := poll(bucket.Query{}, map[string]int{"list": 1, "get": 1}).Rules
	poll(bucket.Query{Known: known}, map[string]int{"list": 1})
	poll(bucket.Query{Known: known, Prefix: "sub/"}, map[string]int{"list": 2})
	server.Set(".sourceignore", buckettest.Object{Content: "c"})
	poll(bucket.Query{Known: known}, map[string]int{"list": 1, "get": 1})
}

// fetch lists and fetches into a folder.
func fetch(t testing.TB, s bucket.Service, l bucket.Limits) (string, *bucket.Listing, error) {
	t.Helper()
	listing, err := bucket.List(t.Context(), s, bucket.Query{Limits: l})
	if err != nil {
		return "", nil, err
	}
	dir, root := folder(t)
	return dir, listing, bucket.Fetch(t.Context(), s, listing, root, l, nil)
}

func folder(t testing.TB) (string, *os.Root) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "inside")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return dir, root
}

// tree is what lies below a folder: the content of files, by path.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(file)
		name, _ := filepath.Rel(dir, file)
		found[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestS03S06HostileKeys: whatever keys are, nothing is written outside the folder; what is a path becomes one as Flux makes it,
// and what is none is refused by its name.
func TestS03S06HostileKeys(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		objects map[string]string
		want    map[string]string
		refused string
	}{
		"parent":        {reason: "CVE-2026-47680", objects: map[string]string{"../escaped": "x"}, refused: `"../escaped"`},
		"parent inside": {reason: "nobody means it", objects: map[string]string{"a/../../escaped": "x"}, refused: `"a/../../escaped"`},
		"parent at end": {reason: "a folder is no file", objects: map[string]string{"a/..": "x"}, refused: `"a/.."`},
		"absolute":      {reason: "below the folder, as Flux does it", objects: map[string]string{"/etc/passwd": "x"}, want: map[string]string{"etc/passwd": "x"}},
		"double slash":  {reason: "sloppy uploads", objects: map[string]string{"a//b": "x"}, want: map[string]string{"a/b": "x"}},
		"dots":          {reason: "they mean nothing", objects: map[string]string{"./a/./b": "x"}, want: map[string]string{"a/b": "x"}},
		"same path":     {reason: "one would overwrite the other", objects: map[string]string{"a//b": "x", "a/b": "y"}, refused: `"a//b" and "a/b"`},
		"only dots":     {reason: "nothing is left", objects: map[string]string{"./.": "x"}, refused: `"./."`},
		"backslash":     {reason: "a letter like any other", objects: map[string]string{`..\..\a`: "x"}, want: map[string]string{`..\..\a`: "x"}},
		"drive":         {reason: "not a path here", objects: map[string]string{`C:\a`: "x"}, want: map[string]string{`C:\a`: "x"}},
		"unicode":       {reason: "names have letters", objects: map[string]string{"ü/日本\u202e": "x"}, want: map[string]string{"ü/日本\u202e": "x"}},
		"line end":      {reason: "it is shown escaped", objects: map[string]string{"..\n": "x", "../\nb": "y"}, refused: `"../\nb"`},
		"file and folder": {
			reason: "they cannot both be", objects: map[string]string{"a": "x", "a/b": "y"}, refused: `"a" and "a/b"`,
		},
		"far apart": {
			reason: "a-b sorts between them", objects: map[string]string{"a": "x", "a-b": "", "a/b/c": "y"}, refused: `"a" and "a/b/c"`,
		},
		"folder markers": {
			reason:  "some tools write them, with a slash or without",
			objects: map[string]string{"a": "", "a/": "", "a/b/": "", "a/b/c": "x"}, want: map[string]string{"a/b/c": "x"},
		},
		"git": {reason: "an artifact has none", objects: map[string]string{".git/config": "x", "sub/.GIT/hooks/pre-commit": "x", "b": "b"}, want: map[string]string{"b": "b"}},
		"long": {
			reason: "no file system has it", objects: map[string]string{strings.Repeat("x", 256): "x"}, refused: "no more than 255 bytes",
		},
		"deep": {
			reason: "it is bounded", objects: map[string]string{strings.Repeat("a/", 300) + "b": "x"}, refused: "more than 256 deep",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := service(t, tc.objects)
			dir, _, err := fetch(t, s, limits())
			if tc.refused != "" {
				if !errors.Is(err, bucket.ErrHostile) || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("%s: got %v, want %s", tc.reason, err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, tree(t, dir)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if outside := tree(t, filepath.Dir(dir)); len(outside) != len(tc.want) {
				t.Errorf("outside the folder: %v", outside)
			}
		})
	}
}

// listed is a service that lists what it is told, which no honest one does.
type listed []bucket.Object

func (l listed) List(_ context.Context, _ string, visit func(bucket.Object) error) error {
	for _, o := range l {
		if err := visit(o); err != nil {
			return err
		}
	}
	return nil
}

func (l listed) Open(_ context.Context, o bucket.Object) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(strings.Repeat("x", int(o.Size)))), nil
}

func TestHostileListings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		listed listed
		is     error
		text   string
	}{
		"zero byte":     {listed{{Key: "a\x00b"}}, bucket.ErrHostile, `"a\x00b"`},
		"twice":         {listed{{Key: "a"}, {Key: "a"}}, bucket.ErrDamaged, `"a" twice`},
		"negative size": {listed{{Key: "a", Size: -1}}, bucket.ErrTooLarge, "--artifact-max-size"},
		"overflow":      {listed{{Key: "a", Size: 1 << 62}, {Key: "b", Size: 1 << 62}, {Key: "c", Size: 1 << 62}}, bucket.ErrTooLarge, "--artifact-max-size"},
		"many":          {make(listed, 1001), bucket.ErrTooLarge, "--artifact-max-files"},
		"large rules":   {listed{{Key: ".sourceignore", Size: 300 << 10}}, bucket.ErrTooLarge, "262144 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bucket.List(t.Context(), tc.listed, bucket.Query{Limits: limits()})
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %q", err, tc.text)
			}
		})
	}
}

// wrong serves content that is not what it lists.
type wrong struct {
	bucket.Service
	mu      sync.Mutex
	content func(key string, time int) string
	times   map[string]int
}

func (w *wrong) Open(_ context.Context, o bucket.Object) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.times[o.Key]++
	return io.NopCloser(strings.NewReader(w.content(o.Key, w.times[o.Key]))), nil
}

// TestObjectsAreVerified: by their size, and by the MD5 that their ETag is. Where a service encrypts with keys of its own the
// ETag looks like an MD5 and is none; that is found out by reading one object twice.
func TestObjectsAreVerified(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		content func(key string, time int) string
		refused string
		reads   int
	}{
		"right":              {content: func(string, int) string { return "right" }, reads: 1},
		"short":              {content: func(string, int) string { return "righ" }, refused: "5 bytes"},
		"long":               {content: func(string, int) string { return "right!" }, refused: "5 bytes"},
		"damaged once":       {content: func(_ string, time int) string { return []string{"wrong", "right"}[time-1] }, reads: 2},
		"damaged both times": {content: func(_ string, time int) string { return []string{"wrong", "wring"}[time-1] }, refused: "checksum"},
		"no MD5":             {content: func(string, int) string { return "wrong" }, reads: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := service(t, map[string]string{"a": "right"})
			w := &wrong{Service: s, content: tc.content, times: map[string]int{}}
			_, _, err := fetch(t, w, limits())
			if tc.refused != "" {
				if !errors.Is(err, bucket.ErrDamaged) || !strings.Contains(err.Error(), tc.refused) || !strings.Contains(err.Error(), `"a"`) {
					t.Errorf("got %v, want %q", err, tc.refused)
				}
				return
			}
			if err != nil || w.times["a"] != tc.reads {
				t.Errorf("%v after %d reads, want %d", err, w.times["a"], tc.reads)
			}
		})
	}
	_, s := service(t, map[string]string{"a": "12345", "b": "12345", "c": "12345"})
	w := &wrong{Service: s, content: func(string, int) string { return "other" }, times: map[string]int{}}
	l := limits()
	l.Parallel = 1
	if _, _, err := fetch(t, w, l); err != nil || w.times["a"]+w.times["b"]+w.times["c"] != 4 {
		t.Errorf("%v after the reads %v, want one object twice", err, w.times)
	}
}

// slow counts how many objects are read at a time.
type slow struct {
	bucket.Service
	mu        sync.Mutex
	now, most int
	full      chan struct{}
}

func (s *slow) Open(ctx context.Context, o bucket.Object) (io.ReadCloser, error) {
	s.mu.Lock()
	if s.now++; s.now > s.most {
		s.most = s.now
		if s.most == 3 {
			close(s.full)
		}
	}
	s.mu.Unlock()
	<-s.full // until three are read at once
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	return s.Service.Open(ctx, o)
}

func TestObjectsAreReadInParallel(t *testing.T) {
	t.Parallel()
	objects := map[string]string{}
	for i := range 30 {
		objects[fmt.Sprint(i)] = "x"
	}
	_, s := service(t, objects)
	counting := &slow{Service: s, full: make(chan struct{})}
	l := limits()
	l.Parallel = 3
	if dir, _, err := fetch(t, counting, l); err != nil || counting.most != 3 || len(tree(t, dir)) != 30 {
		t.Errorf("%v, at most %d at a time, want 3", err, counting.most)
	}
}

// TestF38DiskFull: what our own storage does is not put on the bucket.
func TestF38DiskFull(t *testing.T) {
	t.Parallel()
	_, s := service(t, map[string]string{"a/b": "x"})
	listing, err := bucket.List(t.Context(), s, bucket.Query{Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	dir, root := folder(t)
	if err := os.WriteFile(filepath.Join(dir, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := bucket.Fetch(t.Context(), s, listing, root, limits(), nil); !errors.Is(err, bucket.ErrStorage) || strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want an error of the storage without the folder's name", err)
	}
}

// TestLargeBucket: 100,000 objects are listed in memory that is bounded, or refused by the name of the flag.
func TestLargeBucket(t *testing.T) {
	t.Parallel()
	server, s := service(t, nil)
	objects := map[string]string{}
	for i := range 100_000 {
		objects[fmt.Sprintf("clusters/%03d/apps/deployment-%06d.yaml", i%500, i)] = "x"
	}
	server.Put(objects)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	started := time.Now()
	l, err := bucket.List(t.Context(), s, bucket.Query{Limits: bucket.Limits{Files: 200_000, Bytes: 1 << 30}})
	if err != nil || l.Count != 100_000 || len(l.Files) != 100_000 {
		t.Fatalf("%v", err)
	}
	took := time.Since(started)
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("100,000 objects listed in %s, %d MiB held, with the server", took.Round(time.Millisecond), held>>20)
	if held > 96<<20 {
		t.Errorf("the listing holds %d MiB", held>>20)
	}
	if got := server.Take(); got["list"] != 100 || len(got) != 1 {
		t.Errorf("requests: %v, want 100 pages", got)
	}
	runtime.KeepAlive(l)
	if _, err := bucket.List(t.Context(), s, bucket.Query{Limits: bucket.Limits{Files: 50_000, Bytes: 1 << 30}}); !errors.Is(err, bucket.ErrTooLarge) ||
		!strings.Contains(err.Error(), "50000 objects") || !strings.Contains(err.Error(), "--artifact-max-files") {
		t.Errorf("got %v", err)
	}
	if got := server.Take(); got["list"] > 51 {
		t.Errorf("%v: it goes on after it is too much", got)
	}
}

// FuzzKeys: whatever is listed, files lie inside, are distinct, and none is the folder of another.
func FuzzKeys(f *testing.F) {
	for _, keys := range []string{"a\nb/c", "../x", "/a//b", "a\na/b", "\x00", "a/./b\na/b", ".git/x", "ü\\..\\x", "a/\n/"} {
		f.Add(keys)
	}
	f.Fuzz(func(t *testing.T, keys string) {
		var l listed
		for _, key := range strings.Split(keys, "\n") {
			l = append(l, bucket.Object{Key: key, Size: 7})
		}
		listing, err := bucket.List(t.Context(), l, bucket.Query{Limits: limits()})
		if err != nil {
			return
		}
		all := paths(listing)
		for i, p := range all {
			if !filepath.IsLocal(p) || p != filepath.Clean(p) || strings.ContainsRune(p, 0) {
				t.Errorf("%q is no path", p)
			}
			if slices.ContainsFunc(all[i+1:], func(other string) bool { return other == p || strings.HasPrefix(other, p+"/") }) {
				t.Errorf("%q is there twice, or the folder of another", p)
			}
		}
	})
}

// TestUnchangedObjectsAreNotFetchedAgain: what an artifact has of the objects that are the same is taken from it, and what
// comes out does not differ from what is fetched as a whole.
func TestUnchangedObjectsAreNotFetchedAgain(t *testing.T) {
	t.Parallel()
	server, s := service(t, map[string]string{"a": "a", "sub/b": "b", "sub/gone": "g", "sub/c": "c", ".sourceignore": "*.md", "e": ""})
	dir, root := folder(t)
	records, err := bucket.OpenRecords(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first, err := bucket.List(t.Context(), s, bucket.Query{Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.Fetch(t.Context(), s, first, root, limits(), nil); err != nil {
		t.Fatal(err)
	}
	artifact := packed(t, root)
	if err := records.Save("uid", bucket.RecordOf(first, "sha256:1")); err != nil {
		t.Fatal(err)
	}
	server.Set("sub/c", buckettest.Object{Content: "C"})
	server.Set("new", buckettest.Object{Content: "n"})
	server.Delete("sub/gone")
	server.Take()

	second, err := bucket.List(t.Context(), s, bucket.Query{Limits: limits(), Known: records.Rules("uid", "sha256:1")})
	if err != nil {
		t.Fatal(err)
	}
	again := func(artifact []byte, want map[string]int) {
		t.Helper()
		dir, root := folder(t)
		reused, err := bucket.Reuse(t.Context(), bytes.NewReader(artifact), records.Load("uid", "sha256:1"), second, root)
		if err != nil {
			t.Fatal(err)
		}
		if err := bucket.Fetch(t.Context(), s, second, root, limits(), reused); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{"a": "a", "sub/b": "b", "sub/c": "C", "new": "n", ".sourceignore": "*.md", "e": ""}
		if diff := cmp.Diff(files, tree(t, dir)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, server.Take()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	}
	again(artifact, map[string]int{"list": 1, "get": 2})
	// What cannot be read is fetched.
	again(artifact[:len(artifact)/2], map[string]int{"get": 5})
	again([]byte("no artifact"), map[string]int{"get": 5})
	if records.Load("uid", "sha256:2") != nil || records.Load("other", "sha256:1") != nil {
		t.Error("the record of another artifact is taken for this one's")
	}
	if got := tree(t, dir)["sub/gone"]; got != "g" {
		t.Errorf("the first folder has %q", got)
	}
}

func packed(t *testing.T, root *os.Root) []byte {
	t.Helper()
	var artifact bytes.Buffer
	err := pack.Write(t.Context(), &artifact, pack.Folder(root), pack.Options{Chosen: true, Limits: pack.Limits{Bytes: 1 << 20, Files: 100}})
	if err != nil {
		t.Fatal(err)
	}
	return artifact.Bytes()
}

// TestRecords: a record that is damaged, half-written or that of another object is none, and those of objects that are gone go.
func TestRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	records, err := bucket.OpenRecords(dir)
	if err != nil {
		t.Fatal(err)
	}
	l := &bucket.Listing{Rules: bucket.Rules{ETag: "e", Content: []byte("*.md")}, Files: []bucket.File{
		{Object: bucket.Object{Key: "a\n", ETag: "1", Size: 5}, Path: "a\n"},
	}}
	for _, uid := range []string{"kept", "gone", "damaged"} {
		if err := records.Save(uid, bucket.RecordOf(l, "sha256:1")); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(bucket.RecordOf(l, "sha256:1"), records.Load("kept", "sha256:1")); diff != "" {
		t.Errorf("a record (-want +got):\n%s", diff)
	}
	if got := records.Rules("kept", "sha256:1"); got.ETag != "e" || string(got.Content) != "*.md" {
		t.Errorf("rules %+v", got)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "damaged"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(filepath.Join(dir, "damaged"), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if records.Load("damaged", "sha256:1") != nil {
			t.Fatalf("the first %d of %d bytes are taken for a record", n, len(whole))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "kept.new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := records.Keep(func(uid string) bool { return uid == "kept" }); err != nil {
		t.Fatal(err)
	}
	if left := tree(t, dir); len(left) != 2 || left["kept"] == "" {
		t.Errorf("left: %d files, want the record and what is written beside it", len(left))
	}
	if err := records.Remove("kept"); err != nil || records.Remove("kept") != nil || records.Load("kept", "sha256:1") != nil {
		t.Errorf("remove: %v", err)
	}
}

// TestF35FetchThatFailsSaysTheSameEachTime: of objects that are read at once any may be the first to fail, and a message that
// differs each time would be news each time.
func TestF35FetchThatFailsSaysTheSameEachTime(t *testing.T) {
	t.Parallel()
	objects := map[string]string{}
	for i := range 40 {
		objects[fmt.Sprint(i)] = "x"
	}
	server, s := service(t, objects)
	l, err := bucket.List(t.Context(), s, bucket.Query{Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		fault buckettest.Fault
		want  string
	}{
		"broken": {func(w http.ResponseWriter, _ *http.Request) bool {
			buckettest.Refuse(w, http.StatusInternalServerError, "InternalError")
			return true
		}, "store.example.com answers with the HTTP status 500"},
		"hanging": {func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}, "timed out: 40 objects could not be fetched within spec.timeout; raise it, or narrow spec.prefix"},
	} {
		server.Fail(tc.fault)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			if name == "broken" {
				ctx = t.Context()
			}
			_, root := folder(t)
			if err := bucket.Fetch(ctx, s, l, root, limits(), nil); err == nil || err.Error() != tc.want {
				t.Errorf("%s: got %v, want %s", name, err, tc.want)
			}
			cancel()
		}
	}
}

// TestKeptIsBounded: what attempts leave to later ones does not grow for ever, and what is refused is forgotten.
func TestKeptIsBounded(t *testing.T) {
	t.Parallel()
	kept := &bucket.Kept{}
	for i := range 5000 {
		kept.Put(fmt.Sprint(i), i)
	}
	held := 0
	for i := range 5000 {
		if _, ok := bucket.Find[int](kept, fmt.Sprint(i)); ok {
			held++
		}
	}
	if held == 0 || held > 1024 {
		t.Errorf("%d of 5000 are kept", held)
	}
	if _, ok := bucket.Find[string](kept, "4999"); ok {
		t.Error("a number is taken for a text")
	}
	kept.Drop("4999")
	if _, ok := bucket.Find[int](kept, "4999"); ok {
		t.Error("what was dropped is there")
	}
	if a, b := bucket.KeyOf("ab", "c"), bucket.KeyOf("a", "bc"); a == b {
		t.Error("two keys are one")
	}
}
