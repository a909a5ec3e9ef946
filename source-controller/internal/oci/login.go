package oci

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// challenge is how a registry wants to be spoken to.
type challenge struct {
	// scheme is https, or http if that is allowed and all it speaks.
	scheme string
	// login is "basic", "bearer", or empty if it wants none.
	login string
	// parameters of the login: the token server and what to ask it for.
	parameters map[string]string
}

// challenge is what the registry wants, which it is asked for once.
func (s *session) challenge(ctx context.Context) (challenge, error) {
	if known, ok := s.memory.challenge(s); ok {
		return known, nil
	}
	found, err := s.ping(ctx, "https")
	if err != nil && s.insecure && ctx.Err() == nil && !answered(err) {
		found, err = s.ping(ctx, "http")
	}
	if err != nil {
		return challenge{}, err
	}
	s.memory.learn(s, found)
	return found, nil
}

// answered is set when a server answered, though not well: it speaks the protocol it was asked with.
func answered(err error) bool {
	var status *statusError
	var limited *RateLimited
	return errors.As(err, &status) || errors.As(err, &limited)
}

// ping asks the registry what it wants. Where that leads elsewhere, it is of no interest.
func (s *session) ping(ctx context.Context, scheme string) (challenge, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+s.host()+"/v2/", nil)
	if err != nil {
		return challenge{}, fmt.Errorf("ask registry: %w", err)
	}
	res, err := s.send(req)
	if err != nil {
		return challenge{}, err
	}
	defer discard(res)
	switch res.StatusCode {
	case http.StatusOK:
		return challenge{scheme: scheme}, nil
	case http.StatusUnauthorized:
		return parseChallenge(ctx, scheme, res.Header)
	}
	return challenge{}, failure(res, "", s.host())
}

// parseChallenge reads what an answer says about logins. The parser is go-containerregistry's, which has it inside of its own
// ping only: that is given the answer we have.
func parseChallenge(ctx context.Context, scheme string, header http.Header) (challenge, error) {
	nobody, err := name.NewRegistry("registry.invalid")
	if err != nil {
		return challenge{}, fmt.Errorf("read challenge: %w", err)
	}
	found, err := transport.Ping(ctx, nobody, roundTripper(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: header, Body: http.NoBody, Request: req}, nil
	}))
	if err != nil {
		return challenge{}, fmt.Errorf("read challenge: %w", err)
	}
	return challenge{scheme: scheme, login: strings.ToLower(found.Scheme), parameters: found.Parameters}, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// authorization is what a request to the registry carries; empty for nothing. fresh is set when it is new.
func (s *session) authorization(ctx context.Context, want challenge) (header string, fresh bool, err error) {
	have, err := authn.Authorization(ctx, s.auth)
	if err != nil {
		return "", false, fmt.Errorf("find credentials: %w", err)
	}
	switch {
	case have.RegistryToken != "":
		return "Bearer " + have.RegistryToken, true, nil
	case want.login == "bearer":
		if token, ok := s.memory.token(s, *have); ok {
			return "Bearer " + token, false, nil
		}
		token, err := s.bearer(ctx, want, *have)
		return "Bearer " + token, true, err
	case want.login != "" && want.login != "basic":
		return "", false, &refusedError{fmt.Sprintf("%s wants a kind of login that is not served; basic and bearer are", s.host())}
	case have.Username != "" || have.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(have.Username+":"+have.Password)), true, nil
	case have.Auth != "":
		return "Basic " + have.Auth, true, nil
	}
	return "", true, nil
}

// bearer asks the registry's token server for a token for these credentials.
func (s *session) bearer(ctx context.Context, want challenge, have authn.AuthConfig) (string, error) {
	realm, err := s.realm(want)
	if err != nil {
		return "", err
	}
	through := &tokenServer{session: s, realm: realm, plain: want.scheme == "http"}
	token, err := transport.Exchange(ctx, s.repo.Registry, s.auth, through, []string{s.repo.Scope(transport.PullScope)}, &transport.Challenge{
		Scheme: "bearer", Parameters: want.parameters, Insecure: through.plain,
	})
	if err != nil {
		return "", through.describe(ctx, err)
	}
	text := token.Token
	if token.AccessToken != "" {
		text = token.AccessToken
	}
	s.memory.keep(s, have, text, time.Duration(token.ExpiresIn)*time.Second)
	return text, nil
}

// realm is where tokens are. A registry names its token server, often on another host (that of ghcr.io is ghcr.io, that of
// Docker Hub is auth.docker.io); credentials go there over https only. A registry without TLS can be impersonated by anybody
// on the way, so that its word is taken for its own host alone, or for an encrypted one.
func (s *session) realm(want challenge) (*url.URL, error) {
	realm, err := url.Parse(want.parameters["realm"])
	if err != nil || realm.Hostname() == "" || realm.User != nil {
		return nil, &refusedError{fmt.Sprintf("%s wants a token and does not say where it is", s.host())}
	}
	if err := s.trusted(realm, want.scheme == "http"); err != nil {
		return nil, err
	}
	return realm, nil
}

func (s *session) trusted(realm *url.URL, plain bool) error {
	own := strings.EqualFold(realm.Host, s.host())
	switch {
	case realm.Scheme != "https" && (realm.Scheme != "http" || !plain || !strings.EqualFold(realm.Hostname(), hostname(s.host()))):
		return &refusedError{fmt.Sprintf("%s sends for a token to the host %q without encryption, and credentials do not go there; let the registry name its token server with https",
			s.host(), shownHost(realm.Host))}
	case internal(realm.Hostname()) && !own:
		return &refusedError{fmt.Sprintf("%s sends for a token to %q, an internal address of another host, which is not asked; let the registry name its token server by a host name",
			s.host(), shownHost(realm.Host))}
	}
	return nil
}

// internal is set for the addresses of a cluster, a machine or a cloud's metadata server; go-containerregistry refuses them,
// too.
func internal(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsPrivate() || ip.IsUnspecified())
}

func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }

// tokenServer sends requests for tokens.
type tokenServer struct {
	session *session
	realm   *url.URL
	plain   bool
}

// RoundTrip implements http.RoundTripper.
func (t *tokenServer) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.session.trusted(req.URL, t.plain); err != nil {
		return nil, err
	}
	if req.Response != nil && !strings.EqualFold(req.URL.Host, t.realm.Host) {
		return nil, &refusedError{fmt.Sprintf("the token server of %s redirects to the host %q, which is not asked", t.session.host(), shownHost(req.URL.Host))}
	}
	res, err := t.session.send(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= http.StatusBadRequest {
		defer discard(res)
		return nil, failure(res, req.URL.Host, t.session.host())
	}
	res.Body = wire.Capped(res.Body, maxControl, ErrTooLarge)
	return res, nil
}

// describe says why there is no token. Of what the library says nothing is passed on: it quotes answers.
func (t *tokenServer) describe(ctx context.Context, err error) error {
	s := t.session
	where := fmt.Sprintf("the token server %q of %s", shownHost(t.realm.Host), s.host())
	var (
		status  *statusError
		limited *RateLimited
		refused *refusedError
	)
	err = ended(ctx, err)
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &limited):
		return limited
	case errors.As(err, &status) && (status.status == http.StatusUnauthorized || status.status == http.StatusForbidden):
		return &loginError{fmt.Sprintf("%s %s (HTTP %d)%s", where, s.refuses(), status.status, s.authHint)}
	case errors.As(err, &status):
		return &refusedError{fmt.Sprintf("%s answers with HTTP %d", where, status.status)}
	}
	peer := s.peer
	peer.Host = where
	if told := wire.Explain(peer, err); told != nil && (network(err) || ctx.Err() != nil) {
		return &explained{told}
	}
	return &refusedError{where + " does not answer with a token"}
}
