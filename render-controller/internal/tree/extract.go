package tree

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// extraction is one archive on its way into a manifest and the contents that it names.
type extraction struct {
	blobs    *blobs
	manifest Manifest
	used     budget
	buffer   bytes.Buffer
}

// extract unpacks a gzipped tar. After an error nothing of it is held.
func extract(archive io.Reader, into *blobs, limits Limits) (Manifest, error) {
	x := &extraction{blobs: into, manifest: Manifest{".": {Kind: Directory}}, used: budget{limits: limits}}
	if err := x.all(archive); err != nil {
		return nil, errors.Join(err, into.release(x.manifest))
	}
	x.manifest.seal()
	return x.manifest, nil
}

func (x *extraction) all(archive io.Reader) error {
	unzipped, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("not a gzip file, or cut short: %w", err)
	}
	limits := x.used.limits
	entries := tar.NewReader(io.LimitReader(unzipped, limits.Uncompressed+int64(limits.Files)*2048+1<<20))
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("damaged tar, or cut short: %w", err)
		}
		if err := x.entry(header, entries); err != nil {
			return err
		}
	}
}

func (x *extraction) entry(header *tar.Header, content io.Reader) error {
	if header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeDir {
		return nil // links, devices and headers are skipped, as Flux does
	}
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	if err := x.used.file(name); err != nil {
		return err
	}
	if header.Typeflag == tar.TypeDir {
		return x.manifest.add(name, Entry{Kind: Directory})
	}
	if err := x.manifest.add(name, Entry{Kind: File}); err != nil {
		return err
	}
	entry, err := x.blobs.add(content, x.used.left(), &x.buffer)
	if err != nil {
		return fmt.Errorf("unpack %q: %w", name, err)
	}
	x.manifest[name] = entry
	return x.used.add(entry.Size)
}

// cleanName returns the path that an archive's entry has below the root, or an error when it leads outside.
func cleanName(name string) (string, error) {
	if strings.ContainsRune(name, 0) || strings.Contains(name, `\`) {
		return "", fmt.Errorf("path %.80q in the archive has a character that no path may have", name)
	}
	if path.IsAbs(name) {
		return "", fmt.Errorf("path %.80q in the archive is absolute", name)
	}
	clean := path.Clean(name)
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("path %.80q in the archive leads outside of it", name)
	}
	return clean, nil
}
