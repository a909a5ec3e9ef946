package pack_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

// files is a tree in memory: a name ending in * is executable, in @ a link, in ! a submodule, in / a folder of its own.
type files map[string]string

func (f files) Walk(ctx context.Context, visit func(pack.Entry) error) error {
	var names []string
	folders := map[string]bool{}
	for name := range f {
		names = append(names, name)
		for dir := path.Dir(name); dir != "." && dir != "/" && !folders[dir]; dir = path.Dir(dir) {
			folders[dir] = true
			names = append(names, dir+"/")
		}
	}
	sort.Strings(names)
	for _, name := range names {
		if err := errors.Join(ctx.Err(), visit(f.entry(name))); err != nil {
			return err
		}
	}
	return nil
}

func (f files) entry(name string) pack.Entry {
	content := f[name]
	e := pack.Entry{Path: name, Kind: pack.Regular}
	e.Open = func() (io.ReadCloser, int64, error) {
		return io.NopCloser(strings.NewReader(content)), int64(len(content)), nil
	}
	for suffix, kind := range map[string]pack.Kind{"*": pack.Executable, "@": pack.Link, "!": pack.Submodule, "/": pack.Dir} {
		if trimmed, ok := strings.CutSuffix(name, suffix); ok {
			e.Path, e.Kind = trimmed, kind
		}
	}
	return e
}

func limits() pack.Limits { return pack.Limits{Bytes: 1 << 20, Files: 1000} }

func archive(t *testing.T, tree pack.Tree, o pack.Options) ([]byte, error) {
	t.Helper()
	if o.Limits == (pack.Limits{}) {
		o.Limits = limits()
	}
	var out bytes.Buffer
	err := pack.Write(t.Context(), &out, tree, o)
	return out.Bytes(), err
}

func headers(t *testing.T, data []byte) (plain []byte, all []*tar.Header) {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err = io.ReadAll(zr); err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return plain, all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
}

func listing(t *testing.T, data []byte) string {
	t.Helper()
	_, all := headers(t, data)
	var names []string
	for _, h := range all {
		names = append(names, h.Name)
	}
	return strings.Join(names, " ")
}

func TestArchiveDependsOnContentOnly(t *testing.T) {
	tree := files{
		"app/deploy.yaml": "kind: Deployment\n", "run.sh*": "#!/bin/sh\n", "link@": "/etc/passwd", "sub!": "",
		"long/" + strings.Repeat("x", 150): "long", "ünïcode": "u",
	}
	first, err := archive(t, tree, pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := archive(t, tree, pack.Options{})
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("two archives of one tree differ (%v)", err)
	}
	plain, all := headers(t, first)
	// Of the tarball before compression, which Go may do better one day.
	sum := sha256.Sum256(plain)
	if got, want := hex.EncodeToString(sum[:]), golden; got != want {
		t.Errorf("the digest of the tarball is %s, want %s: every artifact would be another after an upgrade", got, want)
	}
	modes := map[string]int64{}
	for _, h := range all {
		modes[h.Name] = h.Mode
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s tells of where it was made: %+v", h.Name, h)
		}
	}
	want := fmt.Sprint(map[string]int64{
		"app/": 0o750, "app/deploy.yaml": 0o600, "run.sh": 0o700, "sub/": 0o750, "long/": 0o750,
		"long/" + strings.Repeat("x", 150): 0o600, "ünïcode": 0o600,
	})
	if got := fmt.Sprint(modes); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

const golden = "90239020b421eed8a145d73b732abb18d68cc345fcf46f629f3e309a98b882d0"

func TestIgnore(t *testing.T) {
	text := func(s string) *string { return &s }
	for name, tc := range map[string]struct {
		reason string
		tree   pack.Tree
		o      pack.Options
		want   string
	}{
		"defaults": {
			reason: "Flux's default list",
			tree: files{
				"a.yaml": "1", "logo.png": "1", "x.tar.gz": "1", ".gitignore": "1", ".github/w.yaml": "1", ".travis.yml": "1",
				"d/.sops.yaml": "1", "d/b.jpg": "1", "d/c.yaml": "1",
			},
			want: "a.yaml d/ d/c.yaml",
		},
		"own patterns": {
			reason: "with any pattern of the user's own, only those for version control stay",
			tree:   files{"a.yaml": "1", "logo.png": "1", ".gitignore": "1", "b.txt": "1", ".sourceignore": "*.txt\n"},
			want:   ".sourceignore a.yaml logo.png",
		},
		"scoped": {
			reason: "a .sourceignore holds below its folder",
			tree:   files{"a.txt": "1", "d/a.txt": "1", "d/e/a.txt": "1", "d/b": "1", "d/.sourceignore": "# no text\n\n*.txt"},
			want:   "a.txt d/ d/.sourceignore d/b d/e/",
		},
		"nested": {
			reason: "the file of a folder wins over that of its parent, also if git has it first",
			tree:   files{".config/.sourceignore": "!b.txt", ".config/b.txt": "1", ".sourceignore": "*.txt", "a.txt": "1"},
			want:   ".config/ .config/.sourceignore .config/b.txt .sourceignore",
		},
		"spec": {
			reason: "spec.ignore comes last",
			tree:   files{"a.txt": "1", "b.txt": "1", "c": "1", ".sourceignore": "*.txt"},
			o:      pack.Options{Ignore: text("!a.txt\n/c\n")},
			want:   ".sourceignore a.txt",
		},
		"only one folder": {
			reason: "the usual recipe",
			tree:   files{"a": "1", "deploy/b": "1", "deploy/sub/c": "1", "other/d": "1"},
			o:      pack.Options{Ignore: text("/*\n!/deploy\n")},
			want:   "deploy/ deploy/b deploy/sub/ deploy/sub/c",
		},
		"empty spec": {
			reason: "no pattern is no pattern",
			tree:   files{"a": "1", "logo.png": "1"}, o: pack.Options{Ignore: text("# nothing\n")}, want: "a",
		},
		"sparse": {
			reason: "only those folders, and their .sourceignore",
			tree:   pack.Only(files{".sourceignore": "*", "a/b/c": "1", "a/d": "1", "ab/c": "1", "e": "1"}, []string{"./a/b/"}, limits()),
			want:   "a/ a/b/ a/b/c",
		},
		"links": {
			reason: "a .sourceignore that is a link is not read",
			tree:   files{".sourceignore@": "/etc/passwd", "a": "1"}, want: "a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := archive(t, tc.tree, tc.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(t, data); got != tc.want {
				t.Errorf("got %q, want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		tree pack.Tree
		o    pack.Options
		want error
	}{
		"parent":            {tree: files{"../evil": "1"}, want: pack.ErrHostile},
		"parent inside":     {tree: files{"a/../../evil": "1"}, want: pack.ErrHostile},
		"absolute":          {tree: files{"/etc/passwd": "1"}, want: pack.ErrHostile},
		"dot":               {tree: files{"a/./b": "1"}, want: pack.ErrHostile},
		"empty part":        {tree: files{"a//b": "1"}, want: pack.ErrHostile},
		"NUL":               {tree: files{"a\x00b": "1"}, want: pack.ErrHostile},
		"git folder":        {tree: files{"x/.GIT/config": "1"}, want: pack.ErrHostile},
		"short git folder":  {tree: files{"x/GIT~1/config": "1"}, want: pack.ErrHostile},
		"deep":              {tree: files{strings.Repeat("d/", 300) + "f": "1"}, want: pack.ErrHostile},
		"long":              {tree: files{strings.Repeat("d", 5000): "1"}, want: pack.ErrHostile},
		"ignored, hostile":  {tree: files{"../evil.png": "1"}, want: pack.ErrHostile},
		"many files":        {tree: files{"a": "1", "b": "1", "c": "1"}, o: pack.Options{Limits: pack.Limits{Bytes: 100, Files: 2}}, want: pack.ErrTooLarge},
		"many bytes":        {tree: files{"a": "12345", "b": "1"}, o: pack.Options{Limits: pack.Limits{Bytes: 5, Files: 9}}, want: pack.ErrTooLarge},
		"ignore too large":  {tree: files{".sourceignore": strings.Repeat("x\n", 200_000)}, want: pack.ErrTooLarge},
		"many patterns":     {tree: files{".sourceignore": strings.Repeat("x\n", 20_000)}, want: pack.ErrTooLarge},
		"no such folder":    {tree: pack.Only(files{"a/b": "1", "c": "1"}, []string{"c"}, limits()), want: pack.ErrNoFolder},
		"hostile elsewhere": {tree: pack.Only(files{"a/b": "1", "../c": "1"}, []string{"a"}, limits()), want: pack.ErrHostile},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := archive(t, tc.tree, tc.o); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			} else if len(err.Error()) > 300 {
				t.Errorf("the message is %d bytes long", len(err.Error()))
			}
		})
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pack.Write(ctx, io.Discard, files{"a": "1"}, pack.Options{Limits: limits()}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// FuzzWrite holds that whatever a tree and its rules are, an archive that comes out can be unpacked below a folder.
func FuzzWrite(f *testing.F) {
	f.Add("a/b.yaml", "content", "*.txt\n!a\n/**/x[")
	f.Add("../x", "", "\\")
	f.Add("a*", "1", "[a-\n!!\n**\n")
	f.Fuzz(func(t *testing.T, name, content, ignore string) {
		tree := files{name: content, "dir/.sourceignore": ignore, "dir/x": "1"}
		data, err := archive(t, tree, pack.Options{Ignore: &ignore})
		if err != nil {
			return
		}
		_, all := headers(t, data)
		for _, h := range all {
			if strings.HasPrefix(h.Name, "/") || strings.Contains("/"+h.Name, "/../") || strings.ContainsRune(h.Name, 0) {
				t.Errorf("unsafe name %q", h.Name)
			}
		}
	})
}
