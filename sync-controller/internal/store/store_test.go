package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

func newStore(t *testing.T) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

func key() subject.Key { return subject.Key{Kind: "Kustomization", Namespace: "apps", Name: "web"} }

func TestState(t *testing.T) {
	s, dir := newStore(t)
	var got map[string]string
	if err := s.State(key(), &got); !errors.Is(err, ErrAbsent) {
		t.Errorf("nothing is kept: %v", err)
	}
	for _, want := range []string{"1", "2"} {
		if err := s.SaveState(key(), map[string]string{"a": want}); err != nil {
			t.Fatal(err)
		}
		if err := s.State(key(), &got); err != nil || got["a"] != want {
			t.Errorf("got %v, %v", got, err)
		}
	}
	path := filepath.Join(dir, "kustomization", "apps", "web", stateFile)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.State(key(), &got); !errors.Is(err, ErrAbsent) {
		t.Errorf("a damaged file counts as absent: %v", err)
	}
}

func TestSealed(t *testing.T) {
	s, dir := newStore(t)
	one, two := []byte("one"), []byte("two")
	if err := s.PutSealed(key(), Digest(one), two); err == nil {
		t.Error("another content than announced was kept")
	}
	for _, sealed := range [][]byte{one, two} {
		if err := s.PutSealed(key(), Digest(sealed), sealed); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Retain(key(), Digest(two)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sealed(key(), Digest(one)); !errors.Is(err, ErrAbsent) {
		t.Errorf("an old content is still kept: %v", err)
	}
	if got, err := s.Sealed(key(), Digest(two)); err != nil || string(got) != "two" {
		t.Errorf("got %q, %v", got, err)
	}
	name, err := sealedName(Digest(two))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization", "apps", "web", name), []byte("tampered"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sealed(key(), Digest(two)); !errors.Is(err, ErrAbsent) {
		t.Errorf("a tampered content is given out: %v", err)
	}
	if err := s.Forget(key()); err != nil {
		t.Fatal(err)
	}
	if err := s.Retain(key()); err != nil {
		t.Errorf("of a forgotten subject: %v", err)
	}
}

func TestModes(t *testing.T) {
	s, dir := newStore(t)
	if err := s.PutSealed(key(), Digest(nil), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveFingerprints(key(), map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	s, _ := newStore(t)
	for name, k := range map[string]subject.Key{
		"parent":   {Kind: "Kustomization", Namespace: "..", Name: "x"},
		"slash":    {Kind: "Kustomization", Namespace: "a", Name: "../../x"},
		"empty":    {Kind: "Kustomization", Namespace: "a"},
		"zero":     {Kind: "Kustomization", Namespace: "a", Name: "x\x00"},
		"dot kind": {Kind: ".", Namespace: "a", Name: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.SaveState(k, 1); err == nil {
				t.Error("it was written")
			}
		})
	}
	for _, digest := range []string{"", "sha256:", "sha256:zz", "md5:00", "sha256:../../x"} {
		if _, err := s.Sealed(key(), digest); err == nil || errors.Is(err, ErrAbsent) {
			t.Errorf("digest %q: %v", digest, err)
		}
	}
}

func TestKeys(t *testing.T) {
	s, _ := newStore(t)
	if keys, err := s.Keys("Kustomization"); err != nil || len(keys) != 0 {
		t.Errorf("an empty store has %v, %v", keys, err)
	}
	other := subject.Key{Kind: "Kustomization", Namespace: "db", Name: "db"}
	for _, k := range []subject.Key{key(), other, {Kind: "HelmRelease", Namespace: "apps", Name: "chart"}} {
		if err := s.SaveState(k, "x"); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := s.Keys("Kustomization")
	if err != nil || !slices.Equal(keys, []subject.Key{key(), other}) {
		t.Errorf("got %v, %v", keys, err)
	}
	if err := s.Forget(other); err != nil {
		t.Fatal(err)
	}
	if keys, err := s.Keys("Kustomization"); err != nil || len(keys) != 1 {
		t.Errorf("after one was forgotten: %v, %v", keys, err)
	}
}
