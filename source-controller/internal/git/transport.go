package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxRedirects = 5
	maxErrorBody = 16 << 10
)

// Client holds the connections to all servers. It is safe for concurrent use; its zero value is not usable.
type Client struct {
	shared *http.Transport
	limits Limits
}

// NewClient returns a client with connections of its own.
func NewClient(limits Limits) *Client {
	return &Client{shared: newTransport(), limits: limits}
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    15 * time.Second,
		MaxIdleConns:           128,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// httpClient returns the client of one session, its transport, and what to call when the session ends.
func (c *Client) httpClient(cred Credentials) (*http.Client, *limited, func()) {
	transport, done := c.shared, func() {}
	if cred.ownTransport() {
		transport = newTransport()
		cred.configure(transport)
		done = transport.CloseIdleConnections
	}
	bounded := &limited{next: transport, limits: c.limits}
	return &http.Client{Transport: bounded, CheckRedirect: redirectPolicy(cred.secret())}, bounded, done
}

// redirectError: the server sends us where we do not go.
type redirectError struct {
	where string
}

func (e *redirectError) Error() string { return "redirect refused: " + e.where }

// redirectPolicy keeps credentials on the host they are for, and off unencrypted connections.
func redirectPolicy(secret bool) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		first := via[0].URL
		switch {
		case len(via) > maxRedirects:
			return &redirectError{fmt.Sprintf("more than %d in a row", maxRedirects)}
		case first.Scheme == "https" && req.URL.Scheme != "https":
			return &redirectError{"from https to " + req.URL.Scheme}
		case !strings.HasSuffix(req.URL.Path, "/info/refs"):
			return &redirectError{"to a page that is no repository, such as one to log in; check spec.url and spec.secretRef"}
		case secret && !strings.EqualFold(first.Host, req.URL.Host):
			return &redirectError{fmt.Sprintf(
				"to the host %q, which would see the credentials; set spec.url to where the repository is now", req.URL.Host)}
		}
		return nil
	}
}

// limited bounds the bodies of responses, and notes what go-git does not pass on.
type limited struct {
	next   http.RoundTripper
	limits Limits
	// exceeded is set once there was more than is taken. Of the last request, cut is set when the answer stopped before its
	// end, and refused when it was an error of git's.
	exceeded, cut, refused atomic.Bool
	// received is how many bytes came.
	received atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	l.cut.Store(false)
	l.refused.Store(false)
	res, err := l.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		// Only the status counts; the text is the server's and is shown to nobody.
		res.Body = readCloser{io.LimitReader(res.Body, maxErrorBody), res.Body}
		return res, nil
	}
	body := &capped{r: res.Body, left: l.limits.Advertisement, seen: l}
	if req.Method == http.MethodPost {
		body.left, body.start = l.limits.Pack, make([]byte, 0, len(errorLine))
	}
	res.Body = readCloser{body, res.Body}
	return res, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// errorLine is how git's refusals start: a length of four digits, which is of no interest, and a word.
const errorLine = "....ERR "

// capped fails, rather than ends, when there is more than allowed.
type capped struct {
	r    io.Reader
	left int64
	// start is the first bytes of a fetch; without room when nobody wants to know.
	start []byte
	seen  *limited
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.seen.exceeded.Store(true)
		return 0, ErrTooLarge
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.seen.received.Add(int64(n))
	if room := cap(c.start) - len(c.start); room > 0 {
		c.start = append(c.start, p[:min(n, room)]...)
		if len(c.start) == len(errorLine) && string(c.start[4:]) == errorLine[4:] {
			c.seen.refused.Store(true)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.seen.cut.Store(true)
	}
	return n, err
}

// isTimeout reports whether err says that time ran out, here or in the network.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
