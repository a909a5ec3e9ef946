package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Folder is what lies in a folder, as a tree to pack. It is read while it is walked and packed.
func Folder(root *os.Root) Tree { return folder{root} }

type folder struct {
	root *os.Root
}

// Walk implements [Tree], in the order of names.
func (f folder) Walk(ctx context.Context, visit func(Entry) error) error {
	return fs.WalkDir(f.root.FS(), ".", func(file string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("read %s: %w", shown(file), cause(err))
		case ctx.Err() != nil:
			return ctx.Err()
		case file == ".":
			return nil
		}
		entry := Entry{Path: file}
		switch {
		case e.IsDir():
			entry.Kind = Dir
			return visit(entry)
		case !e.Type().IsRegular():
			entry.Kind = Link
			return visit(entry)
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("read %s: %w", shown(file), cause(err))
		}
		if entry.Kind = Regular; info.Mode()&0o111 != 0 {
			entry.Kind = Executable
		}
		entry.Open = func() (io.ReadCloser, int64, error) { return f.open(file, info.Size()) }
		return visit(entry)
	})
}

func (f folder) open(file string, size int64) (io.ReadCloser, int64, error) {
	content, err := f.root.Open(file)
	if err != nil {
		return nil, 0, cause(err)
	}
	return content, size, nil
}

// cause is what went wrong, without the name of a temporary folder.
func cause(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	return err
}
