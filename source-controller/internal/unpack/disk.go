package unpack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const errNotDir = syscall.ENOTDIR

// writer marks what goes wrong on our disk, which copying would mix with what goes wrong with what is read.
type writer struct {
	file *os.File
}

type writeError struct {
	err error
}

func (e *writeError) Error() string { return e.err.Error() }

func (w writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if err != nil {
		return n, &writeError{cause(err)}
	}
	return n, nil
}

// cause is what went wrong, without the name of a temporary folder: it differs from one attempt to the next.
func cause(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	return err
}

// bounded fails, rather than ends, when there is more than is allowed.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%w: it goes on and on when it is unpacked", ErrTooLarge)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
