package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// loginError: a token server wants other credentials.
type loginError struct{ why string }

func (e *loginError) Error() string { return ErrAuthentication.Error() + ": " + e.why }

func (e *loginError) Unwrap() error { return ErrAuthentication }

// explained is a network error in words.
type explained struct{ error }

func (e *explained) Unwrap() error { return e.error }

// network reports whether an error comes from what happened on the way, rather than from what was sent.
func network(err error) bool {
	var (
		request *url.Error
		cut     *cutError
		status  *statusError
		limited *RateLimited
	)
	return errors.As(err, &request) || errors.As(err, &cut) || errors.As(err, &status) || errors.As(err, &limited) || ours(err) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// ours is set for errors in our own words.
func ours(err error) bool {
	for _, known := range []error{ErrAuthentication, ErrNotFound, ErrTooLarge, ErrDigest, ErrManifest, errLayer} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// describe turns an error into one for the user. Nothing that a registry wrote gets through, nor any address that it
// redirected to, which may hold a signature.
func (s *session) describe(ctx context.Context, ask asking, err error) error {
	err = ended(ctx, err)
	var (
		status  *statusError
		limited *RateLimited
		refused *refusedError
		login   *loginError
		told    *explained
	)
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &login):
		return login
	case errors.As(err, &told):
		return told.error
	case errors.As(err, &limited):
		return limited
	case errors.As(err, &status):
		return s.status(ask, status)
	case errors.Is(err, errLayer):
		return fmt.Errorf("%w: %s sends something else as %s, which is not used; push the artifact again, or ask whoever runs the registry",
			ErrDigest, s.host(), ask.what)
	case ask.tooLarge != nil && errors.Is(err, ask.tooLarge):
		return ask.tooLarge
	case ours(err):
		return err
	}
	s.memory.forget() // the registry may be another one by the time it answers again
	if errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Errorf("%s speaks HTTP without TLS; set spec.insecure to allow that", s.host())
	}
	if told := wire.Explain(s.peer, err); told != nil {
		return told
	}
	return fmt.Errorf("%w: what %s sends for %s cannot be read; check spec.url", ErrManifest, s.host(), ask.what)
}

// status says what an answer's status means.
func (s *session) status(ask asking, e *statusError) error {
	if e.host != "" {
		return s.redirected(e)
	}
	switch e.status {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: %s %s (HTTP 401)%s", ErrAuthentication, s.host(), s.refuses(), s.authHint)
	case http.StatusForbidden:
		if s.anonymous() {
			return fmt.Errorf("%w: %s %s (HTTP 403)%s", ErrAuthentication, s.host(), s.refuses(), s.authHint)
		}
		return fmt.Errorf("%w: the credentials in %s may not read %s in %s (HTTP 403); grant them that%s",
			ErrAuthentication, s.authField, s.repo.RepositoryStr(), s.host(), s.authHint)
	case http.StatusNotFound:
		return fmt.Errorf("%w: %s has no %s with %s, or nothing these credentials may read (HTTP 404); check spec.url, spec.ref and %s",
			ErrNotFound, s.host(), s.repo.RepositoryStr(), ask.what, s.authField)
	}
	return fmt.Errorf("%s answers with HTTP %d", s.host(), e.status)
}

// redirected says what the status of a host means that the registry sent us to.
func (s *session) redirected(e *statusError) error {
	if e.status == http.StatusUnauthorized {
		return fmt.Errorf("%w: %s redirects to the host %q, which wants credentials of its own (HTTP 401); those of %s go to no other host: set spec.url to where the artifact is now",
			ErrAuthentication, s.host(), shownHost(e.host), s.host())
	}
	return fmt.Errorf("%s redirects to the host %q, which answers with HTTP %d", s.host(), shownHost(e.host), e.status)
}

func (s *session) anonymous() bool { return s.auth == authn.Anonymous }

// refuses is what a server does with what it was given.
func (s *session) refuses() string {
	if s.anonymous() {
		return "wants credentials; set " + s.authField
	}
	return "does not accept the credentials in " + s.authField
}
