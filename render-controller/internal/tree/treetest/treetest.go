// Package treetest makes trees for tests.
package treetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluice-gitops/sluice/render-controller/internal/tree"
)

// New returns the files as a tree in a cache of its own. It is held until the test ends.
func New(t testing.TB, files map[string]string) *tree.Tree {
	t.Helper()
	return Acquire(t, NewCache(t), files)
}

// NewCache returns an empty cache.
func NewCache(t testing.TB) *tree.Cache {
	t.Helper()
	cache, err := tree.Open(tree.Options{Dir: filepath.Join(t.TempDir(), "trees")})
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// Acquire returns the files as a tree, fetched and unpacked as an artifact is. It is held until the test ends.
func Acquire(t testing.TB, cache *tree.Cache, files map[string]string) *tree.Tree {
	t.Helper()
	content := Pack(t, files)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }))
	defer server.Close()
	sum := sha256.Sum256(content)
	held, release, err := cache.Acquire(t.Context(), tree.Artifact{URL: server.URL, Digest: "sha256:" + hex.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return held
}

// Pack returns the files as an artifact: a gzipped tar.
func Pack(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(files[name]))})
		if err == nil {
			_, err = archive.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
