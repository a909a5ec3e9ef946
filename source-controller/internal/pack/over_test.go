package pack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

// stored is an artifact with a tree in it, as a tree again.
func stored(t *testing.T, tree pack.Tree) *pack.Archive {
	t.Helper()
	none := ""
	data, err := archive(t, tree, pack.Options{Ignore: &none})
	if err != nil {
		t.Fatal(err)
	}
	a := pack.Artifact(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func TestOver(t *testing.T) {
	ignore := "*.txt\n"
	for name, tc := range map[string]struct {
		reason string
		base   files
		layer  files
		from   string
		to     string
		o      pack.Options
		want   string
	}{
		"all of it": {
			reason: "below a folder that the base does not have",
			base:   files{"a": "1"}, layer: files{"b": "1", "dir/c*": "1"}, to: "lib",
			want: "a lib/ lib/b lib/dir/ lib/dir/c",
		},
		"a folder of it": {
			reason: "what is beside it stays out, one with the same start too",
			base:   files{"a": "1"}, layer: files{"deploy/x/b": "1", "deploy-not/c": "1", "d": "1"}, from: "./deploy/", to: "/base/app",
			want: "a base/ base/app/ base/app/x/ base/app/x/b",
		},
		"a file of it": {
			reason: "as in Flux, a path may name a file",
			base:   files{"base/a": "1"}, layer: files{"deploy/b.yaml": "1", "c": "1"}, from: "deploy/b.yaml", to: "base/b.yaml",
			want: "base/ base/a base/b.yaml",
		},
		"beside others": {
			reason: "a folder on the way may be there",
			base:   files{"base/a": "1"}, layer: files{"b": "1"}, to: "base/lib",
			want: "base/ base/a base/lib/ base/lib/b",
		},
		"ignored": {
			reason: "spec.ignore and .sourceignore files are of all that is packed, those that are included too",
			base:   files{"a.txt": "1", "b": "1"}, layer: files{"c.txt": "1", "d": "1", "e": "1", "sub/.sourceignore": "f\n", "sub/f": "1"}, to: "lib",
			o:    pack.Options{Ignore: &ignore},
			want: "b lib/ lib/d lib/e lib/sub/ lib/sub/.sourceignore",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := pack.Over(tc.base, []pack.Layer{{Tree: stored(t, tc.layer), From: tc.from, To: tc.to}}, limits())
			data, err := archive(t, tree, tc.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(t, data); got != tc.want {
				t.Errorf("got %q, want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

// TestArtifactOfAnArtifact holds that what is read out of an artifact makes the same artifact.
func TestArtifactOfAnArtifact(t *testing.T) {
	tree := files{"a": "1", "b*": "22", "dir/.sourceignore": "x\n", "dir/c": "333", "dir/y": "4", "empty!": ""}
	first, err := archive(t, tree, pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again := pack.Artifact(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(first)), nil })
	second, err := archive(t, again, pack.Options{})
	if err := errors.Join(err, again.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("got %s, want %s", listing(t, second), listing(t, first))
	}
}

// TestS03IncludedPaths: whatever is included wherever, nothing leaves the tree, goes through a link or takes another's place.
func TestS03IncludedPaths(t *testing.T) {
	for name, tc := range map[string]struct {
		reason   string
		base     files
		layer    pack.Tree
		from, to string
		want     error
	}{
		"taken by a folder": {"what is packed does not depend on who comes first", files{"lib/a": "1"}, files{"b": "1"}, "", "lib", pack.ErrConflict},
		"taken by a file":   {"the same", files{"lib": "1"}, files{"b": "1"}, "", "lib", pack.ErrConflict},
		"the root":          {"the same", files{"a": "1"}, files{"b": "1"}, "", ".", pack.ErrConflict},
		"through a link":    {"a link may lead anywhere", files{"lib@": "/etc"}, files{"b": "1"}, "", "lib/x", pack.ErrConflict},
		"onto a link":       {"the same", files{"lib@": "/etc"}, files{"b": "1"}, "", "lib", pack.ErrConflict},
		"through a file":    {"a file has nothing in it", files{"lib": "1"}, files{"b": "1"}, "", "lib/x", pack.ErrConflict},
		"not there":         {"nothing is not what was asked for", files{"a": "1"}, files{"b": "1"}, "deploy", "lib", pack.ErrNoFolder},
		"into .git":         {"configuration of the consumer's git", files{"a": "1"}, files{"b": "1"}, "", "x/.git", pack.ErrHostile},
		"short .git":        {"by its other name", files{"a": "1"}, files{"b": "1"}, "", "GIT~1/x", pack.ErrHostile},
		"out of the tree":   {"a tree that lies about its paths", files{"a": "1"}, files{"../b": "1"}, "", "lib", pack.ErrHostile},
		"too many":          {"both count together", files{"a": "1"}, files{"b": "1", "c": "1", "d": "1", "e": "1"}, "", "lib", pack.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			small := pack.Limits{Bytes: 100, Files: 5}
			_, err := archive(t, pack.Over(tc.base, []pack.Layer{{Tree: tc.layer, From: tc.from, To: tc.to}}, small), pack.Options{Limits: small})
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v: %s", err, tc.want, tc.reason)
			}
		})
	}
}

func TestDamagedArtifactIsNotIncluded(t *testing.T) {
	data, err := archive(t, files{"a": "1", "b": "22"}, pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{"no gzip": []byte("nonsense"), "cut off": data[:len(data)/2], "empty": nil} {
		a := pack.Artifact(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(damaged)), nil })
		if _, err := archive(t, pack.Over(files{}, []pack.Layer{{Tree: a, To: "x"}}, limits()), pack.Options{}); err == nil {
			t.Errorf("%s: it is packed", name)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// many is a tree of as many files as are asked for.
type many int

func (m many) Walk(_ context.Context, visit func(pack.Entry) error) error {
	for i := range int(m) {
		err := visit(pack.Entry{Path: fmt.Sprintf("f%d", i), Kind: pack.Regular, Open: func() (io.ReadCloser, int64, error) {
			return io.NopCloser(strings.NewReader("x")), 1, nil
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// TestF50LargeRepositories: a tree that is too large is refused with the limit, and the option that raises it.
func TestF50LargeRepositories(t *testing.T) {
	for name, tc := range map[string]struct {
		limits pack.Limits
		want   []string
	}{
		"100,000 files": {pack.Limits{Bytes: 1 << 30, Files: 50_000}, []string{"50000 entries", "--artifact-max-files"}},
		"many bytes":    {pack.Limits{Bytes: 70_000, Files: 1 << 20}, []string{"70000 bytes", "spec.ignore", "--artifact-max-size"}},
		"served":        {pack.Limits{Bytes: 1 << 30, Files: 1 << 20}, nil},
	} {
		_, err := archive(t, many(100_000), pack.Options{Limits: tc.limits})
		if (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, text := range tc.want {
			if !errors.Is(err, pack.ErrTooLarge) || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: got %v, want %q", name, err, text)
			}
		}
	}
}
