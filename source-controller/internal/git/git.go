// Package git asks repositories over smart HTTP and SSH what they have, fetches single commits into bare clones, and reads trees
// out of them. It is the only package that imports go-git, of which it uses the protocol and the object store: nothing
// is ever checked out, so no path in a repository is a path on disk.
//
// A poll is one [Session.Advertise]; only when that shows something new does [Clone.Fetch] follow, on the same session,
// with what the clone has already.
package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// Errors that a caller tells apart. What wraps them is a message for the user: it names no credential, and nothing that
// changes from one attempt to the next.
var (
	// ErrAuthentication: the server wants other credentials.
	ErrAuthentication = errors.New("authentication failed")
	// ErrNotFound: there is no such repository, or these credentials may not see it.
	ErrNotFound = errors.New("repository not found")
	// ErrEmpty: the repository has no commit.
	ErrEmpty = errors.New("repository is empty")
	// ErrNoCommit: the repository does not have the commit.
	ErrNoCommit = errors.New("commit not found")
	// ErrTooLarge: the server sent more than is taken.
	ErrTooLarge = errors.New("too large")
	// ErrCorrupt: what is on disk is not a whole repository.
	ErrCorrupt = errors.New("incomplete or damaged objects")
	// ErrRefused: the server does not give what it was asked for.
	ErrRefused = errors.New("refused")
	// ErrBroken: what was sent is not whole.
	ErrBroken = wire.ErrBroken
	// ErrStorage: the clone cannot be written.
	ErrStorage = errors.New("the clone cannot be stored")
	// ErrTimeout: the server did not answer in time.
	ErrTimeout = wire.ErrTimeout
)

// Limits bound what is taken from a server; the zero value takes nothing.
type Limits struct {
	// Advertisement is how many bytes the list of references may have.
	Advertisement int64
	// Pack is how many bytes one fetch may have.
	Pack int64
	// Idle is how long a server may pause while it sends; 0 for as long as it likes.
	Idle time.Duration
	// Objects is how many objects one fetch may have, Object how many bytes one of them when it is unpacked, and Content
	// all of them together.
	Objects, Object, Content int64
}

// DefaultLimits are generous: 64 MiB are about a million references. An object is held in memory, sometimes twice.
func DefaultLimits() Limits {
	return Limits{Advertisement: 64 << 20, Pack: 4 << 30, Idle: time.Minute, Objects: 2 << 20, Object: 256 << 20, Content: 32 << 30}
}

// stored says what was being done on disk when an error came up. Paths are left out: some differ from one attempt to the
// next, and none of them helps the user.
func stored(doing string, err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Errorf("%w: %s: %w", ErrStorage, doing, err)
}
