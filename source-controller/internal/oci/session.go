package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const (
	maxRedirects = 5
	// maxControl is how many bytes are taken of what says nothing about artifacts: tokens, redirects.
	maxControl = 64 << 10
	// maxWait is the longest that a registry can keep us from asking.
	maxWait = 24 * time.Hour

	userAgent = "sluice-source-controller"
)

// session sends the requests of one repository: to its registry with a login, to other hosts without.
type session struct {
	repo      name.Repository
	auth      authn.Authenticator
	authField string
	authHint  string
	next      http.RoundTripper
	others    http.RoundTripper
	peer      wire.Peer
	insecure  bool
	memory    *Memory
	received  atomic.Int64
}

func newSession(repo name.Repository, o Options) *session {
	s := &session{
		repo: repo, auth: o.Auth, authField: o.AuthField, authHint: o.AuthHint,
		next: o.Transport, others: o.Elsewhere, peer: o.Peer, insecure: o.Insecure, memory: o.Memory,
	}
	if s.others == nil {
		s.others = s.next
	}
	if s.auth == nil {
		s.auth = authn.Anonymous
	}
	if s.authField == "" {
		s.authField = "spec.secretRef"
	}
	if s.peer.Host == "" {
		s.peer.Host = s.host()
	}
	if s.memory == nil {
		s.memory = &Memory{}
	}
	return s
}

func (s *session) host() string { return s.repo.RegistryStr() }

// statusError: a host answered with a status that is neither success nor a redirect.
type statusError struct {
	status int
	// host is another one than the registry; empty for the registry.
	host string
}

func (e *statusError) Error() string { return "HTTP " + strconv.Itoa(e.status) }

// refusedError is what we do not do, whatever a registry says, in words for the user.
type refusedError struct{ why string }

func (e *refusedError) Error() string { return e.why }

// RoundTrip implements http.RoundTripper. While the registry wants not to be asked, nothing is sent.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	have, err := authn.Authorization(req.Context(), s.auth)
	if err != nil {
		return nil, fmt.Errorf("find credentials: %w", err)
	}
	if left := s.memory.quiet(s, *have); left > 0 {
		return nil, &RateLimited{After: left, host: s.host()}
	}
	res, err := s.exchange(req)
	var limited *RateLimited
	if errors.As(err, &limited) {
		s.memory.hush(s, *have, limited.After)
	}
	return res, err
}

func (s *session) exchange(req *http.Request) (*http.Response, error) {
	if err := s.allowed(req); err != nil {
		return nil, err
	}
	if !strings.EqualFold(req.URL.Host, s.host()) {
		return s.elsewhere(req)
	}
	res, fresh, err := s.loggedIn(req)
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return s.taken(req, res, "", err)
	}
	// A token may have ended, or the registry may want a login for this and for nothing else.
	again, err := s.memory.refused(req.Context(), s, res, fresh)
	if again && err == nil {
		discard(res)
		res, _, err = s.loggedIn(req)
	}
	return s.taken(req, res, "", err)
}

// allowed keeps requests off where they do not go. What is redirected knows the answer that it comes from.
func (s *session) allowed(req *http.Request) error {
	count, last := 0, ""
	for res := req.Response; res != nil && res.Request != nil; res = res.Request.Response {
		if count++; count == 1 {
			last = res.Request.URL.Scheme
		}
	}
	switch {
	case count > maxRedirects:
		return &refusedError{fmt.Sprintf("%s redirects more than %d times in a row", s.host(), maxRedirects)}
	case count == 0 && !strings.EqualFold(req.URL.Host, s.host()):
		return &refusedError{fmt.Sprintf("%s continues its list of tags on the host %q, which is not asked", s.host(), shownHost(req.URL.Host))}
	case last == "https" && req.URL.Scheme != "https" && !strings.EqualFold(req.URL.Host, s.host()):
		return &refusedError{fmt.Sprintf("%s redirects from https to %s on the host %q", s.host(), shownScheme(req.URL.Scheme), shownHost(req.URL.Host))}
	}
	return nil
}

// elsewhere follows a redirect to another host, with no login: registries keep blobs, and sometimes manifests, elsewhere.
func (s *session) elsewhere(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !s.insecure {
		return nil, &refusedError{fmt.Sprintf("%s redirects to %s on the host %q; set spec.insecure to allow that",
			s.host(), shownScheme(req.URL.Scheme), shownHost(req.URL.Host))}
	}
	out := req.Clone(req.Context())
	out.Header.Del("Authorization")
	out.Header.Del("Cookie")
	out.Header.Del("Referer")
	res, err := s.send(out)
	return s.taken(req, res, req.URL.Host, err)
}

// loggedIn sends a request to the registry in the way that it wants. fresh is set when the login was made for it, rather than
// remembered.
func (s *session) loggedIn(req *http.Request) (res *http.Response, fresh bool, err error) {
	want, err := s.challenge(req.Context())
	if err != nil {
		return nil, false, err
	}
	out := req.Clone(req.Context())
	out.URL.Scheme = want.scheme
	authorization, fresh, err := s.authorization(req.Context(), want)
	if err != nil {
		return nil, fresh, err
	}
	if authorization != "" {
		out.Header.Set("Authorization", authorization)
	}
	res, err = s.send(out)
	return res, fresh, err
}

func (s *session) send(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", userAgent)
	next := s.next
	if !strings.EqualFold(req.URL.Host, s.host()) {
		next = s.others
	}
	res, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = &counted{res.Body, &s.received}
	return res, nil
}

// taken turns an answer into one that may be read, or into an error. host is another one than the registry.
func (s *session) taken(req *http.Request, res *http.Response, host string, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	ask := askedFor(req.Context())
	switch {
	case ask.raw && res.StatusCode != http.StatusTooManyRequests:
		return res, nil
	case res.StatusCode >= 200 && res.StatusCode < 300:
		if ask.blob != nil {
			res.Body = &verified{r: res.Body, want: *ask.blob, sum: newSum()}
			res.ContentLength = -1 // how long it is, the manifest says
			return res, nil
		}
		res.Body = wire.Capped(res.Body, ask.limit, ask.tooLarge)
		return res, nil
	case res.StatusCode >= 300 && res.StatusCode < 400 && res.Header.Get("Location") != "":
		res.Body = wire.Capped(res.Body, maxControl, ErrTooLarge)
		return res, nil
	}
	defer discard(res)
	return nil, failure(res, host, s.host())
}

// failure is the error that a status stands for. Only the status counts: the text is the server's and is shown to nobody.
func failure(res *http.Response, host, registry string) error {
	if res.StatusCode != http.StatusTooManyRequests {
		return &statusError{res.StatusCode, host}
	}
	shown := registry
	if host != "" {
		shown = shownHost(host)
	}
	return &RateLimited{After: retryAfter(res.Header), host: shown}
}

// retryAfter is how long a server wants not to be asked: seconds, or a time, which is told from the server's own clock.
func retryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	var after time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if until, err := http.ParseTime(text); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			return 0
		}
		after = until.Sub(now)
	}
	return min(max(after, 0), maxWait)
}

// discard lets the connection be used again, if that takes little reading.
func discard(res *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxControl))
	_ = res.Body.Close()
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		err = &cutError{err}
	}
	return n, err
}

// cutError: an answer stopped before its end.
type cutError struct{ error }

func (e *cutError) Unwrap() error { return e.error }

// shownHost is a host that a server names, as it may appear in a message.
func shownHost(host string) string {
	const limit = 100
	if len(host) > limit {
		return host[:limit] + "…"
	}
	return host
}

func shownScheme(scheme string) string {
	if scheme == "http" || scheme == "https" {
		return scheme
	}
	return "another protocol"
}

// ended is the context's own error if it has ended: what else failed follows from that.
func ended(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		return cause
	}
	return err
}
