package bucket

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

// Reuse takes from an earlier artifact, of which there is a record, the files whose objects are still the same, and writes
// them into a folder. It returns the paths of those that are there now. What cannot be read is fetched instead; the error is
// one of our own storage.
func Reuse(ctx context.Context, artifact io.Reader, r *Record, l *Listing, into *os.Root) (map[string]bool, error) {
	same := map[string]bool{}
	for _, f := range l.Files {
		if was, ok := r.Objects[f.Path]; ok && f.ETag != "" && was == stamp(f.Object) {
			same[f.Path] = true
		}
	}
	taken := map[string]bool{}
	zip, err := gzip.NewReader(artifact)
	if err != nil {
		return taken, nil //nolint:nilerr // see above
	}
	entries := tar.NewReader(zip)
	for len(taken) < len(same) {
		header, err := entries.Next()
		if err != nil || ctx.Err() != nil {
			return taken, ctx.Err()
		}
		if header.Typeflag != tar.TypeReg || !same[header.Name] || header.Size != r.Objects[header.Name].Size {
			continue
		}
		whole, err := take(into, header.Name, entries, header.Size)
		if err != nil {
			return nil, err
		}
		if whole {
			taken[header.Name] = true
		}
	}
	return taken, nil
}

// take writes one file. whole is not set when the content cannot be read to its end.
func take(into *os.Root, file string, content io.Reader, size int64) (whole bool, err error) {
	if err := into.MkdirAll(path.Dir(file), dirMode); err != nil {
		return false, fmt.Errorf("%w: make the folder of %s: %w", ErrStorage, shown(file), cause(err))
	}
	out, err := into.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return false, fmt.Errorf("%w: create %s: %w", ErrStorage, shown(file), cause(err))
	}
	defer func() { err = errors.Join(err, cause(out.Close())) }()
	n, err := io.Copy(&disk{file: out}, content)
	if errors.Is(err, ErrStorage) {
		return false, err
	}
	return err == nil && n == size, nil
}
