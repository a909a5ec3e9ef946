package unpack_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/unpack"
)

type entry struct {
	name, content, link string
	kind                byte
	mode                int64
	size                int64
}

func tarball(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		header := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.content)) + e.size}
		if err := tw.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(append([]byte(e.content), make([]byte, e.size)...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpacked unpacks into a folder beside which there is a canary, and returns what is in the folder.
func unpacked(t testing.TB, data []byte, l unpack.Limits) (string, error) {
	t.Helper()
	outer := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(outer, "canary"), nil, 0o600), os.Mkdir(filepath.Join(outer, "in"), 0o700)); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(outer, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	unpacking := unpack.TarGz(t.Context(), bytes.NewReader(data), root, l)
	var found []string
	err = filepath.WalkDir(outer, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(outer, p)
			info, _ := e.Info()
			if info.Mode()&0o100 != 0 {
				rel += "*"
			}
			found = append(found, strings.TrimPrefix(rel, "in/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(found)
	return strings.Join(found, " "), unpacking
}

func TestTarGz(t *testing.T) {
	t.Parallel()
	limits := unpack.Limits{Bytes: 1 << 20, Files: 10}
	for name, tc := range map[string]struct {
		reason  string
		entries []entry
		want    string
		err     error
	}{
		"files":            {"with the folders they are in", []entry{{name: "a/b", content: "x"}, {name: "./c", mode: 0o755}}, "a/b c* canary", nil},
		"folders":          {"before and after what is in them", []entry{{name: "a/b"}, {name: "a/", kind: tar.TypeDir}}, "a/b canary", nil},
		"twice":            {"the last one counts, as tar does it", []entry{{name: "a", content: "1"}, {name: "a", content: "2"}}, "a canary", nil},
		"links":            {"are left out", []entry{{name: "l", kind: tar.TypeSymlink, link: "/etc/passwd"}, {name: "h", kind: tar.TypeLink, link: "../canary"}, {name: "a"}}, "a canary", nil},
		"parent":           {"it would be written beside", []entry{{name: "../canary", content: "x"}}, "canary", unpack.ErrHostile},
		"parent inside":    {"no honest path has it", []entry{{name: "a/../b", content: "x"}}, "canary", unpack.ErrHostile},
		"absolute":         {"it would be written anywhere", []entry{{name: "/etc/canary", content: "x"}}, "canary", unpack.ErrHostile},
		"backslash":        {"it is a separator elsewhere", []entry{{name: `..\canary`, content: "x"}}, "canary", unpack.ErrHostile},
		"file as a folder": {"there is only one of them", []entry{{name: "a"}, {name: "a/b"}}, "a canary", unpack.ErrHostile},
		"folder as a file": {"there is only one of them", []entry{{name: "a/b"}, {name: "a"}}, "a/b canary", unpack.ErrHostile},
		"through a link":   {"it is not there", []entry{{name: "a", kind: tar.TypeSymlink, link: ".."}, {name: "a/canary", content: "x"}}, "a/canary canary", nil},
		"many":             {"more than the limit", make([]entry, 11), "canary", unpack.ErrTooLarge},
		"large":            {"more than the limit together", []entry{{name: "a", size: 600 << 10}, {name: "b", size: 600 << 10}}, "a canary", unpack.ErrTooLarge},
		"deep":             {"more than anybody needs", []entry{{name: strings.Repeat("a/", 300) + "a"}}, "canary", unpack.ErrHostile},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range tc.entries {
				if tc.entries[i].name == "" {
					tc.entries[i].name = "f" + strings.Repeat("i", i)
				}
			}
			got, err := unpacked(t, tarball(t, tc.entries...), limits)
			if !errors.Is(err, tc.err) || tc.err == nil && err != nil {
				t.Fatalf("error %v, want %v: %s", err, tc.err, tc.reason)
			}
			if tc.err == nil && got != tc.want {
				t.Errorf("files %s, want %s: %s", got, tc.want, tc.reason)
			}
			if !strings.Contains(got, "canary") || strings.Contains(got, "canary*") {
				t.Errorf("the canary was touched: %s", got)
			}
		})
	}
}

// TestS12Bombs: what unpacks to far more than it weighs ends at the limit, and costs no more than that.
func TestS12Bombs(t *testing.T) {
	t.Parallel()
	var zeros bytes.Buffer
	zw := gzip.NewWriter(&zeros)
	tw := tar.NewWriter(zw)
	const size = 128 << 20
	if err := tw.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: size}); err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := tw.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := unpacked(t, zeros.Bytes(), unpack.Limits{Bytes: 1 << 20, Files: 10}); !errors.Is(err, unpack.ErrTooLarge) {
		t.Errorf("128 MiB of zeros: %v", err)
	}
	var headers []entry
	for range 2000 {
		headers = append(headers, entry{name: "a", kind: tar.TypeSymlink, link: strings.Repeat("x", 4000)})
	}
	if _, err := unpacked(t, tarball(t, headers...), unpack.Limits{Bytes: 1 << 10, Files: 10}); !errors.Is(err, unpack.ErrTooLarge) {
		t.Errorf("links without end: %v", err)
	}
}

func TestBroken(t *testing.T) {
	t.Parallel()
	whole := tarball(t, entry{name: "a", content: strings.Repeat("some text\n", 1000)})
	for name, data := range map[string][]byte{
		"text": []byte("<html>log in</html>"), "nothing": nil, "half": whole[:len(whole)/2], "tail missing": whole[:len(whole)-12],
	} {
		if _, err := unpacked(t, data, unpack.Limits{Bytes: 1 << 20, Files: 10}); !errors.Is(err, unpack.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzTarGz(f *testing.F) {
	f.Add(tarball(f, entry{name: "a/b", content: "x"}, entry{name: "l", kind: tar.TypeSymlink, link: "/"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _ := unpacked(t, data, unpack.Limits{Bytes: 64 << 10, Files: 100})
		if !strings.Contains(got, "canary") {
			t.Errorf("the canary is gone: %s", got)
		}
	})
}
