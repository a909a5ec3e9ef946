package tree

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Modes of what is unpacked: nobody writes to a tree.
const (
	dirMode  fs.FileMode = 0o500
	fileMode fs.FileMode = 0o400
	execMode fs.FileMode = 0o500
)

// extract unpacks a gzipped tar into the empty directory that root is, and makes it read-only.
func extract(archive io.Reader, root *os.Root, limits Limits) (Manifest, int64, error) {
	unzipped, err := gzip.NewReader(archive)
	if err != nil {
		return nil, 0, fmt.Errorf("not a gzip file, or cut short: %w", err)
	}
	used := &budget{limits: limits}
	manifest := Manifest{".": {Kind: Directory, Mode: dirMode}}
	entries := tar.NewReader(io.LimitReader(unzipped, limits.Uncompressed+int64(limits.Files)*2048+1<<20))
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, fmt.Errorf("damaged tar, or cut short: %w", err)
		}
		if err := extractEntry(entries, header, root, manifest, used); err != nil {
			return nil, 0, err
		}
	}
	manifest.list()
	return manifest, used.bytes, protect(root, manifest)
}

func extractEntry(content io.Reader, header *tar.Header, root *os.Root, manifest Manifest, used *budget) error {
	if header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeDir {
		return nil // links, devices and headers are skipped, as Flux does
	}
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	if err := used.file(name); err != nil {
		return err
	}
	if header.Typeflag == tar.TypeDir {
		manifest.addParents(path.Join(name, "x"))
		return mkdirAll(root, name)
	}
	if err := mkdirAll(root, path.Dir(name)); err != nil {
		return err
	}
	entry, err := extractFile(content, name, header.FileInfo().Mode(), root, used)
	if err != nil {
		return err
	}
	manifest.addParents(name)
	manifest[name] = entry
	return nil
}

func extractFile(content io.Reader, name string, mode fs.FileMode, root *os.Root, used *budget) (Entry, error) {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return Entry{}, fmt.Errorf("%q is in the archive twice", name)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("unpack %q: %w", name, err)
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(content, used.left()+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return Entry{}, fmt.Errorf("unpack %q: %w", name, err)
	}
	entry := Entry{Kind: File, Mode: fileMode, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: size}
	if mode&0o111 != 0 {
		entry.Mode = execMode
	}
	return entry, used.add(size)
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

func mkdirAll(root *os.Root, name string) error {
	if err := root.MkdirAll(name, 0o700); err != nil {
		return fmt.Errorf("unpack directory %q: %w", name, err)
	}
	return nil
}

// protect takes the right to write from everything in the tree.
func protect(root *os.Root, manifest Manifest) error {
	for name, entry := range manifest {
		if name == "." || entry.Kind == Directory {
			continue
		}
		if err := root.Chmod(name, entry.Mode); err != nil {
			return fmt.Errorf("protect %q: %w", name, err)
		}
	}
	for name, entry := range manifest {
		if name == "." || entry.Kind != Directory {
			continue
		}
		if err := root.Chmod(name, entry.Mode|0o100); err != nil {
			return fmt.Errorf("protect %q: %w", name, err)
		}
	}
	return nil
}
