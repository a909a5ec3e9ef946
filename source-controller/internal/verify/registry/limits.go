package registry

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// Limits bound what one verification reads. Whoever may write to a registry can attach signatures without end.
type Limits struct {
	// Signatures is how many signatures of one artifact are looked at.
	Signatures int
	// Signature is the size of one signature in bytes.
	Signature int64
	// Bytes is what is read for one artifact altogether.
	Bytes int64
}

// DefaultLimits are wide: a signature has a few kilobytes, and an artifact that is built once has one or two.
func DefaultLimits() Limits { return Limits{Signatures: 100, Signature: 4 << 20, Bytes: 32 << 20} }

// Exceeded says that there is more to read than is allowed.
type Exceeded struct {
	What string
}

func (e *Exceeded) Error() string {
	return e.What + "; remove signatures and attestations that are not needed from the registry"
}

// TooMany says that an artifact has more signatures than are looked at.
func (l Limits) TooMany() error {
	return &Exceeded{fmt.Sprintf("the artifact has more than %d signatures, and none of the first %[1]d is trusted", l.Signatures)}
}

func (l Limits) tooLarge() error {
	return &Exceeded{fmt.Sprintf("the signatures of the artifact have more than %d MiB", l.Bytes>>20)}
}

// requests is how many requests a verification makes at most: a manifest and a blob for each signature, and some for
// finding them, for logins and for redirects.
func (l Limits) requests() int64 { return int64(3*l.Signatures + 50) }

// bounded counts what a verification asks for and gets.
type bounded struct {
	next   http.RoundTripper
	limits Limits

	requests, bytes atomic.Int64
}

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if b.requests.Add(1) > b.limits.requests() {
		return nil, &Exceeded{fmt.Sprintf("reading the signatures takes more than %d requests to the registry", b.limits.requests())}
	}
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &counted{ReadCloser: resp.Body, of: b}
	return resp, nil
}

// counted is a body whose bytes count for the whole verification.
type counted struct {
	io.ReadCloser

	of *bounded
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.of.bytes.Add(int64(n)) > c.of.limits.Bytes {
		return 0, c.of.limits.tooLarge()
	}
	return n, err
}
