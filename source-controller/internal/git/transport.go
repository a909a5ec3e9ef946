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
		case secret && !strings.EqualFold(first.Host, req.URL.Host):
			return &redirectError{fmt.Sprintf(
				"to the host %q, which would see the credentials; set spec.url to where the repository is now", req.URL.Host)}
		}
		return nil
	}
}

// limited bounds the bodies of responses.
type limited struct {
	next   http.RoundTripper
	limits Limits
	// exceeded is set once a body was cut: go-git does not always pass the error on.
	exceeded atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := l.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		// Only the status counts; the text is the server's and is shown to nobody.
		res.Body = readCloser{io.LimitReader(res.Body, maxErrorBody), res.Body}
		return res, nil
	}
	limit := l.limits.Advertisement
	if req.Method == http.MethodPost {
		limit = l.limits.Pack
	}
	res.Body = readCloser{&capped{r: res.Body, left: limit, exceeded: &l.exceeded}, res.Body}
	return res, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// capped fails, rather than ends, when there is more than allowed.
type capped struct {
	r        io.Reader
	left     int64
	exceeded *atomic.Bool
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.exceeded.Store(true)
		return 0, ErrTooLarge
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// isTimeout reports whether err says that time ran out, here or in the network.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
