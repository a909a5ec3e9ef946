package helmrepo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const (
	maxRedirects = 5
	userAgent    = "sluice-source-controller"
	indexName    = "index.yaml"
)

// RateLimited says that a server takes no more requests for now.
type RateLimited struct {
	// After is how long it wants to be left alone; 0 if it does not say.
	After time.Duration

	host string
}

// Error is a message for the user; how long is left out, it is another time with each attempt.
func (e *RateLimited) Error() string {
	return e.host + " limits how often it is asked (HTTP 429); a longer spec.interval asks less"
}

// session makes the requests of one download. What is secret goes to the repository's own host, by scheme, name and port; to all
// others only if the object says so.
type session struct {
	access Access
	base   *url.URL
	host   string
	// own reaches the repository, others everything else, without a certificate of ours.
	own, others http.RoundTripper
	close       func()
}

func (c *Client) open(a Access, base *url.URL) *session {
	own, others, done := c.Connections.Transports(wire.Peer{Host: base.Host, TLS: a.TLS, TLSField: a.TLSField})
	s := &session{access: a, base: base, host: base.Host, own: own, others: others, close: done}
	if a.PassCredentials {
		s.others = own
	}
	return s
}

// trusted reports whether a host is given what is secret.
func (s *session) trusted(u *url.URL) bool {
	return s.access.PassCredentials || u.Scheme == s.base.Scheme && strings.EqualFold(u.Host, s.base.Host)
}

// RoundTrip implements http.RoundTripper.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Header.Set("User-Agent", userAgent)
	out.Header.Del("Referer") // a query may be secret
	if !s.trusted(req.URL) {
		return s.others.RoundTrip(out)
	}
	switch l := s.access.Login; {
	case l.Bearer != "":
		out.Header.Set("Authorization", "Bearer "+l.Bearer)
	case l.Username != "" || l.Password != "":
		out.SetBasicAuth(l.Username, l.Password)
	}
	return s.own.RoundTrip(out)
}

// redirectError: the server sends us where we do not go.
type redirectError struct{ why string }

func (e *redirectError) Error() string { return e.why }

func (s *session) follow(req *http.Request, via []*http.Request) error {
	switch last := via[len(via)-1].URL; {
	case len(via) > maxRedirects:
		return &redirectError{fmt.Sprintf("%s redirects more than %d times in a row", s.host, maxRedirects)}
	case last.Scheme == "https" && req.URL.Scheme != "https":
		return &redirectError{fmt.Sprintf("%s redirects from https to something else, which is not followed", s.host)}
	}
	req.URL.User = nil
	return nil
}

// get asks for a file, which messages call what.
func (s *session) get(ctx context.Context, at *url.URL, what, tag string) (*http.Response, error) {
	s.host = at.Host
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("the address of %s is not a URL", what)
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	client := &http.Client{Transport: s, CheckRedirect: s.follow}
	res, err := client.Do(req)
	if err != nil {
		return nil, s.explain(err, nil)
	}
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusNotModified && tag != "" {
		return res, nil
	}
	_ = res.Body.Close() // the text is the server's, and is shown to nobody
	return nil, s.refused(res, what)
}

func (s *session) refused(res *http.Response, what string) error {
	host := shortened(res.Request.URL.Host)
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %s refuses %s (HTTP %d); %s", ErrAuthentication, host, what, res.StatusCode, s.hint(res.Request.URL))
	case http.StatusNotFound, http.StatusGone:
		hint := "see whether spec.url is right"
		if what != indexName {
			hint = "the index lists it, so whoever serves the repository has to put it there"
		}
		return fmt.Errorf("%w: %s does not have %s (HTTP %d); %s", ErrNotFound, host, what, res.StatusCode, hint)
	case http.StatusTooManyRequests:
		return &RateLimited{After: wire.RetryAfter(res.Header), host: host}
	}
	return fmt.Errorf("%s answers HTTP %d when it is asked for %s", host, res.StatusCode, what)
}

// hint says what to do about credentials.
func (s *session) hint(at *url.URL) string {
	l := s.access.Login
	switch {
	case l.IsZero() && !s.access.TLS.HasCertificate():
		return "put a username and a password into the Secret of spec.secretRef"
	case !s.trusted(at):
		return "the credentials are not sent there, since it is not the host in spec.url; set spec.passCredentials if it may see them"
	case l.IsZero():
		return "it may want a username and a password beside the certificate"
	}
	return "correct those in the Secret of " + s.access.LoginField + l.Padded.Hint(s.access.LoginField)
}

// explain turns an error into one for the user. written is what went wrong on our disk, if anything did.
func (s *session) explain(err, written error) error {
	var redirect *redirectError
	switch {
	case written != nil:
		return fmt.Errorf("write what %s sends: %w", s.host, written)
	case errors.As(err, &redirect):
		return redirect
	case errors.Is(err, ErrTooLarge):
		return err
	}
	peer := wire.Peer{Host: s.host, TLS: s.access.TLS, TLSField: s.access.TLSField}
	if peer.TLSField == "" {
		peer.TLSField = "spec.certSecretRef"
	}
	if explained := wire.Explain(peer, err); explained != nil {
		return explained
	}
	return fmt.Errorf("%w: what %s sends cannot be read", wire.ErrBroken, s.host)
}
