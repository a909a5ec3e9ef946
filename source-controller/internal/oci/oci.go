// Package oci asks registries what they have and pulls from them by digest. Beside the packages below verify it is the
// only one that imports go-containerregistry, of which it uses the protocol.
//
// Read in this order: [Open] and [Repository] here, manifest.go, layer.go and tags.go (what is asked), session.go (how a
// request goes out: to which host, over what, with which login), login.go and memory.go (how a registry wants to be
// logged in to), describe.go (errors in words).
//
// Rules:
//   - A poll is one request: [Repository.Resolve] is a HEAD, [Repository.Tags] a GET. Nothing is tried again here.
//   - Credentials go to the registry, and to the token server that it names over an encrypted connection. They follow no
//     redirect, and no host but the registry is believed about logins.
//   - What is pulled has the digest that was asked for, or is an error.
package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// Errors that a caller tells apart. What wraps them is a message for the user: it names no credential, quotes nothing that
// a registry wrote, and holds nothing that changes from one attempt to the next.
var (
	// ErrAuthentication: the registry wants other credentials.
	ErrAuthentication = errors.New("authentication failed")
	// ErrNotFound: there is no such repository, tag or digest, or these credentials may not see it.
	ErrNotFound = errors.New("not found")
	// ErrTooLarge: the registry has more than is taken.
	ErrTooLarge = errors.New("too large")
	// ErrDigest: what was sent is not what was asked for.
	ErrDigest = errors.New("wrong digest")
	// ErrManifest: what was sent is no manifest of an artifact.
	ErrManifest = errors.New("not an artifact")
)

// RateLimited says that the registry takes no more requests for now.
type RateLimited struct {
	// After is how long the registry wants not to be asked; 0 if it does not say. It is never more than a day.
	After time.Duration

	host string
}

// Error is a message for the user; how long is left out, it is another time with each attempt.
func (e *RateLimited) Error() string {
	return e.host + " limits how often it is asked (HTTP 429); it is not asked again before it allows that, or within the interval: " +
		"credentials may have a higher limit than none, and a longer interval asks less"
}

// Scheme is what the address of every repository starts with.
const Scheme = "oci://"

// Limits bound what is taken from a registry. What is zero has a default.
type Limits struct {
	// Manifest is how many bytes a manifest may have, Page how many one page of the list of tags.
	Manifest, Page int64
	// Tags is how many tags a repository may have, Pages on how many pages they may come.
	Tags, Pages int
	// Layer is how many bytes a layer may have, as it is sent.
	Layer int64
	// LayerOption names what raises Layer, for the message.
	LayerOption string
}

func (l Limits) orDefault() Limits {
	or := func(n *int64, value int64) {
		if *n <= 0 {
			*n = value
		}
	}
	or(&l.Manifest, 4<<20)
	or(&l.Page, 4<<20)
	or(&l.Layer, 1<<30)
	if l.Tags <= 0 {
		l.Tags = 100_000
	}
	if l.Pages <= 0 {
		l.Pages = 1_000
	}
	if l.LayerOption == "" {
		l.LayerOption = "--artifact-max-size"
	}
	return l
}

// Options say how to reach a repository.
type Options struct {
	// Auth logs in; nil for nobody.
	Auth authn.Authenticator
	// AuthField is what the credentials come from, in messages; "spec.secretRef" if it is empty. AuthHint is added to the
	// message that they are refused.
	AuthField, AuthHint string
	// Transport sends requests, each once. It is not the caller's to close before everything is read.
	Transport http.RoundTripper
	// Elsewhere sends those to other hosts: what the registry redirects to, and its token server. It shows them no certificate of
	// ours. nil for Transport, if that has none.
	Elsewhere http.RoundTripper
	// Peer is who is at the other end, for messages.
	Peer wire.Peer
	// Insecure allows plain HTTP, to a registry that does not answer over TLS.
	Insecure bool
	Limits   Limits
	// Memory is what the registry said before; nil to ask it anew.
	Memory *Memory
}

// Name is a repository in a registry.
type Name = name.Repository

// Parse reads the address of a repository: oci://host/path, without a tag or a digest. The error is for the user.
func Parse(url string, insecure bool) (name.Repository, error) {
	rest, ok := strings.CutPrefix(url, Scheme)
	if !ok {
		return name.Repository{}, errors.New("it does not start with oci://; write it as oci://host/path")
	}
	host, path, _ := strings.Cut(strings.TrimRight(rest, "/"), "/")
	switch {
	case strings.Contains(host, "@"):
		return name.Repository{}, errors.New("it holds a user; move the credentials to the Secret in spec.secretRef")
	case path == "":
		return name.Repository{}, errors.New("it names a host and no repository; write it as oci://host/path")
	case strings.Contains(path, "@"):
		return name.Repository{}, errors.New("it holds a digest; move it to spec.ref.digest")
	case strings.Contains(path, ":"):
		return name.Repository{}, errors.New("it holds a tag; move it to spec.ref.tag")
	}
	var options []name.Option
	if insecure {
		options = append(options, name.Insecure)
	}
	if !strings.ContainsAny(host, ".:") {
		// go-containerregistry would take it for a folder of Docker Hub's, and send the credentials there.
		return name.Repository{}, errors.New("its host has neither a dot nor a port; write it as oci://host:5000/path or oci://docker.io/path")
	}
	repo, err := name.NewRepository(host+"/"+path, options...)
	if err != nil {
		return name.Repository{}, errors.New(
			"it is not the name of a repository: lower case letters, digits, and . _ - / between them; write it as oci://host/path")
	}
	return repo, nil
}

// Repository is one repository in one registry. It is safe for concurrent use.
type Repository struct {
	name    name.Repository
	session *session
	puller  *remote.Puller
	limits  Limits
}

// Open prepares to ask a repository; nothing is sent yet.
func Open(url string, o Options) (*Repository, error) {
	repo, err := Parse(url, o.Insecure)
	if err != nil {
		return nil, err
	}
	s := newSession(repo, o)
	// With a transport of this type nothing is asked, tried again or logged but by ourselves; without a scheme, it adds nothing.
	through, err := transport.FromToken(repo.Registry, authn.Anonymous, s, &transport.Challenge{}, &transport.Token{})
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	puller, err := remote.NewPuller(remote.WithTransport(through))
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	return &Repository{name: repo, session: s, puller: puller, limits: o.Limits.orDefault()}, nil
}

// Name is the repository's.
func (r *Repository) Name() name.Repository { return r.name }

// Received is how many bytes the registry has sent until now: of its answers, without what is around them.
func (r *Repository) Received() int64 { return r.session.received.Load() }

// asking is how one kind of answer is taken.
type asking struct {
	// what is asked for, in messages.
	what string
	// limit is how many bytes an answer may have, tooLarge the error about more.
	limit    int64
	tooLarge error
	// blob says what the bytes must turn out to be; nil for anything.
	blob *Layer
	// raw is set when the answer is taken as it is.
	raw bool
}

type askingKey struct{}

// asks makes requests in this context ask for something.
func asks(ctx context.Context, a asking) context.Context {
	return context.WithValue(ctx, askingKey{}, a)
}

func askedFor(ctx context.Context) asking {
	if a, ok := ctx.Value(askingKey{}).(asking); ok {
		return a
	}
	return asking{what: "an answer", limit: maxControl, tooLarge: ErrTooLarge}
}
