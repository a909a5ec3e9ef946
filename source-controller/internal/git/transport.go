package git

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/sluice-gitops/sluice/source-controller/internal/ssh"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const (
	maxRedirects = 5
	maxErrorBody = 16 << 10
)

// Client holds the connections to all servers. It is safe for concurrent use; its zero value is not usable.
type Client struct {
	// SSH are the algorithms that may be agreed on with SSH servers. It must not be changed while the client is in use.
	SSH ssh.Algorithms

	pool   *wire.Pool
	limits Limits
}

// NewClient returns a client with connections of its own.
func NewClient(limits Limits) *Client {
	return &Client{pool: wire.NewPool(), limits: limits}
}

// overHTTP is git-upload-pack on a server, over smart HTTP.
type overHTTP struct {
	transport.UploadPackSession
	done func()
}

// Close implements upload.
func (u *overHTTP) Close() error {
	u.done()
	return nil
}

// openHTTP prepares a session; the endpoint has no credentials, so that the addresses in errors of net/http have none.
func (c *Client) openHTTP(endpoint *transport.Endpoint, peer wire.Peer, cred Credentials, bounded *bounded) (upload, error) {
	next, done := c.pool.Transport(peer)
	client := &http.Client{Transport: &limited{next: next, bounded: bounded}, CheckRedirect: redirectPolicy(cred.secret())}
	var auth transport.AuthMethod
	if m := cred.method(); m != nil {
		auth = m
	}
	session, err := githttp.NewClient(client).NewUploadPackSession(endpoint, auth)
	if err != nil {
		done()
		return nil, fmt.Errorf("open git session: %w", err)
	}
	return &overHTTP{UploadPackSession: session, done: done}, nil
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

// limited bounds the bodies of responses.
type limited struct {
	next    http.RoundTripper
	bounded *bounded
}

// RoundTrip implements http.RoundTripper.
func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	l.bounded.begin()
	ctx, cancel := context.WithCancel(req.Context())
	res, err := l.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		// Only the status counts; the text is the server's and is shown to nobody.
		res.Body = &readCloser{io.LimitReader(res.Body, maxErrorBody), res.Body, cancel}
		return res, nil
	}
	body := res.Body
	if l.bounded.limits.Idle > 0 {
		body = wire.Idle(body, l.bounded.limits.Idle, func() {
			l.bounded.quiet.Store(true)
			cancel()
		})
	}
	within := l.bounded.advertisement(body)
	if req.Method == http.MethodPost {
		within = l.bounded.pack(body)
	}
	res.Body = &readCloser{within, body, cancel}
	return res, nil
}

// readCloser is a body, and what else ends with it.
type readCloser struct {
	io.Reader
	body io.Closer
	done func()
}

// Close implements io.Closer.
func (r *readCloser) Close() error {
	defer r.done()
	return r.body.Close()
}
