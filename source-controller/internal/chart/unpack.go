package chart

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxFiles = 20_000
	maxBytes = 200 << 20
)

// errTooLarge: what a chart needs of its source is more than a chart can be.
var errTooLarge = fmt.Errorf("more than %d files or %d bytes", maxFiles, maxBytes)

// unpack writes the given files and folders of the source into the scratch folder. Those that are there already, or are
// not in the source, are passed over.
func (s *sources) unpack(wanted ...string) error {
	wanted = slices.DeleteFunc(wanted, func(p string) bool { return within(s.seen, p) })
	if len(wanted) == 0 {
		return nil
	}
	s.seen = append(s.seen, wanted...)
	if _, err := s.source.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	zr, err := gzip.NewReader(s.source)
	if err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	u := unpacker{scratch: s.scratch, left: maxBytes}
	for tr := tar.NewReader(zr); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read source: %w", err)
		}
		name := path.Clean(header.Name)
		if header.Typeflag != tar.TypeReg || !filepath.IsLocal(name) || !within(wanted, name) {
			continue
		}
		err = u.write(name, tr)
		if errors.Is(err, errTooLarge) {
			return fmt.Errorf("%w: unpack %q: %w", ErrReference, name, err)
		}
		if err != nil {
			return fmt.Errorf("unpack %q: %w", name, err)
		}
	}
}

// within reports whether p is one of the paths, or lies below one.
func within(paths []string, p string) bool {
	return slices.ContainsFunc(paths, func(dir string) bool {
		return dir == "." || p == dir || strings.HasPrefix(p, dir+"/")
	})
}

type unpacker struct {
	scratch *os.Root
	files   int
	left    int64
}

func (u *unpacker) write(name string, content io.Reader) (err error) {
	if u.files++; u.files > maxFiles {
		return errTooLarge
	}
	if err := u.scratch.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := u.scratch.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, io.LimitReader(content, u.left+1))
	if u.left -= n; u.left < 0 {
		return errTooLarge
	}
	return err
}
