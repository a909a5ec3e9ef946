package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const (
	// maxPage bounds an answer that is no object: a page of a listing, or a token.
	maxPage = 32 << 20
	// maxError bounds the answer to a request that fails.
	maxError = 64 << 10
	// idle is how long an answer may pause.
	idle = 30 * time.Second
)

// Transport carries the requests of a service's client, whichever that is: it bounds answers, follows no redirects, counts
// bytes, and notes what a client does not pass on. It is safe for concurrent use.
type Transport struct {
	Next http.RoundTripper
	// Peer is whom it all goes to.
	Peer wire.Peer
	// Idle is how long an answer may pause; 0 for half a minute.
	Idle time.Duration

	received atomic.Int64
}

// Received is how many bytes came.
func (t *Transport) Received() int64 { return t.received.Load() }

// Exchange is what became of the requests that belong to one call of a client.
type Exchange struct {
	limit int64
	// stored is set when an object is asked for.
	stored bool
	// Status of the last answer; 0 if there was none.
	Status int
	header http.Header
	failed error
	paused atomic.Bool
}

type exchangeKey struct{}

// Begin starts an exchange: the requests made with its context. An answer may have limit bytes, or as many as the answer to a
// request that fails; 0 for those of a listing.
func Begin(ctx context.Context, limit int64) (context.Context, *Exchange) {
	e := &Exchange{limit: max(limit, maxError), stored: limit > 0}
	if !e.stored {
		e.limit = maxPage
	}
	return context.WithValue(ctx, exchangeKey{}, e), e
}

// Client is for libraries that make requests without a context: it gives them one, and their exchange.
func (t *Transport) Client(ctx context.Context) (*http.Client, *Exchange) {
	ctx, e := Begin(ctx, 0)
	return &http.Client{Transport: within{ctx, t}}, e
}

// within has a context because there is no other way into such a library.
type within struct {
	ctx  context.Context
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (w within) RoundTrip(req *http.Request) (*http.Response, error) {
	return w.next.RoundTrip(req.WithContext(w.ctx))
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	e, ok := req.Context().Value(exchangeKey{}).(*Exchange)
	if !ok {
		e = &Exchange{limit: maxPage}
	}
	e.Status, e.header, e.failed = 0, nil, nil
	ctx, cancel := context.WithCancel(req.Context())
	req = req.Clone(ctx)
	if e.stored {
		// An object is wanted as it is stored: its size and its checksum are those of the listing.
		req.Header.Set("Accept-Encoding", "identity")
	}
	res, err := t.Next.RoundTrip(req)
	if err == nil {
		e.Status, e.header = res.StatusCode, res.Header
		err = redirected(res)
	}
	if err != nil {
		cancel()
		e.failed = err
		return nil, err
	}
	limit := e.limit
	if res.StatusCode < 200 || res.StatusCode > 299 {
		limit = maxError
	}
	body := &body{ReadCloser: wire.Capped(res.Body, limit, errTooMuch), from: t, exchange: e, cancel: cancel}
	wait := t.Idle
	if wait <= 0 {
		wait = idle
	}
	res.Body = wire.Idle(body, wait, func() {
		e.paused.Store(true)
		cancel()
	})
	return res, nil
}

var errTooMuch = errors.New("the answer is larger than it may be")

type body struct {
	io.ReadCloser

	from     *Transport
	exchange *Exchange
	cancel   func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.from.received.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		b.exchange.failed = err
	}
	return n, err
}

func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// redirectError: the service sends us where we do not go. No client of ours has to: a bucket has one place, and a request
// has credentials in it, or in its address.
type redirectError struct {
	host   string
	region bool
}

func (e *redirectError) Error() string {
	if e.region {
		return "redirect refused: the bucket is in another region; set spec.region, and spec.endpoint if it names one"
	}
	return fmt.Sprintf("redirect refused: to the host %q, which would see the credentials; set spec.endpoint to where the bucket is", e.host)
}

func redirected(res *http.Response) error {
	if res.StatusCode < 300 || res.StatusCode > 399 || res.StatusCode == http.StatusNotModified {
		return nil
	}
	e := &redirectError{region: res.Header.Get("x-amz-bucket-region") != ""}
	if to, err := url.Parse(res.Header.Get("Location")); err == nil {
		e.host = to.Host
	}
	_ = res.Body.Close() // nothing of it counts
	return e
}

// Explain says for the user what went wrong below what a service says of itself; nil if the service's own answer says it.
func (t *Transport) Explain(e *Exchange, err error) error {
	var elsewhere *redirectError
	cause := e.failed
	if cause == nil {
		cause = err
	}
	switch {
	case errors.As(cause, &elsewhere):
		return elsewhere
	case errors.Is(cause, errTooMuch):
		return fmt.Errorf("%w: %s sends a longer answer than is taken", ErrDamaged, t.Peer.Host)
	case e.paused.Load():
		return fmt.Errorf("%w: %s stopped sending halfway", wire.ErrTimeout, t.Peer.Host)
	case e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable:
		return &BusyError{Host: t.Peer.Host, After: retryAfter(e.header)}
	case e.Status >= 500:
		return fmt.Errorf("%s answers with the HTTP status %d", t.Peer.Host, e.Status)
	case e.Status >= 400:
		return nil
	}
	return wire.Explain(t.Peer, cause)
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// Body is an object's content whose errors are explained.
func (t *Transport) Body(e *Exchange, content io.ReadCloser) io.ReadCloser {
	return &explained{ReadCloser: content, from: t, exchange: e}
}

type explained struct {
	io.ReadCloser

	from     *Transport
	exchange *Exchange
}

func (x *explained) Read(p []byte) (int, error) {
	n, err := x.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		if known := x.from.Explain(x.exchange, err); known != nil {
			err = known
		}
	}
	return n, err
}

// HostOf is a host as messages show it: what there is of an address without user, path and query.
func HostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	host := address[strings.LastIndexByte(address, '@')+1:]
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	return host
}
