// Package bucket turns what is in a bucket of an object storage into files: [List] says what there is and which revision
// that is, [Fetch] brings it into a folder, [Records] remember it, so that the next fetch brings no more than what changed.
// A folder for each service below has the [Service] that it all goes through.
//
// Keys are whatever somebody uploaded. What of a key is a path is said in name.go; everything else is refused by its name,
// and nothing is written but through an [os.Root].
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Object is an object as a service lists it.
type Object struct {
	Key string
	// ETag changes whenever the content does. It is written as Flux writes it, since revisions are made of it.
	ETag string
	// Size in bytes.
	Size int64
	// MD5 of the content in hexadecimal digits; empty if the service does not say. Unless Sure is set it is a guess: of some
	// services the ETag is the MD5, and of others it only looks like one.
	MD5  string
	Sure bool
	// Version is what the service knows this state of the object by, if not by its ETag.
	Version string
	// Unpacked is set when the service stores the object compressed and gives it out unpacked: then Size and MD5 are not
	// those of the content.
	Unpacked bool
}

// Service is a bucket, reached with the credentials of one attempt. It is safe for concurrent use.
type Service interface {
	// List visits every object whose key starts with prefix, in any order, and stops at the first error of visit, which it
	// returns.
	List(ctx context.Context, prefix string, visit func(Object) error) error
	// Open reads an object as it was listed: [ErrChanged] if it is another by now, or gone.
	Open(ctx context.Context, o Object) (io.ReadCloser, error)
}

// Errors that a caller tells apart.
var (
	// ErrChanged: an object is not the one that was listed.
	ErrChanged = errors.New("the object was changed or deleted while the bucket was read")
	// ErrHostile: a key is no path.
	ErrHostile = errors.New("unsafe key")
	// ErrTooLarge: there is more than the limits allow.
	ErrTooLarge = errors.New("too large")
	// ErrDamaged: an object is not what the service says it is.
	ErrDamaged = errors.New("damaged object")
	// ErrStorage: our own storage failed.
	ErrStorage = errors.New("storage")
	// ErrRefused: the service does not accept who we are.
	ErrRefused = errors.New("credentials refused")
)

// BusyError says that the service wants to be asked less often.
type BusyError struct {
	Host string
	// After is how long it wants to be left alone; 0 if it does not say.
	After time.Duration
}

func (e *BusyError) Error() string {
	return e.Host + " answers that it gets too many requests; raise spec.interval if this lasts"
}

// Limits bound what is taken from a bucket.
type Limits struct {
	// Files is how many objects it may list, ignored ones included.
	Files int
	// Bytes is how much the objects may have together.
	Bytes int64
	// Parallel is how many objects are read at a time; 0 for a few.
	Parallel int
}

func (l Limits) parallel() int {
	const few, most = 16, 100
	if l.Parallel <= 0 {
		return few
	}
	return min(l.Parallel, most)
}

// shown is a key as it may appear in a message: quoted, and not longer than a line.
func shown(key string) string {
	const limit = 120
	if len(key) > limit {
		key = key[:limit] + "…"
	}
	return fmt.Sprintf("%q", key)
}
