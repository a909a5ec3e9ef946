// Package registry is what both kinds of signatures need of the registry that holds an artifact: where it is, how it is
// reached, how much may be read for one verification, and what went wrong in words.
package registry

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// Artifact is what may be signed. Every request for its signatures uses what is given here, and nothing of the process: no
// keychain, no Docker configuration, no default transport.
type Artifact struct {
	// Ref is the artifact by its digest: a tag may be another artifact a moment later.
	Ref name.Digest
	// Auth is the login; nil is anonymous.
	Auth authn.Authenticator
	// Transport reaches the registry. It logs in by itself if LoggedIn is set; Auth is for one that does not.
	Transport http.RoundTripper
	LoggedIn  bool
	// Describe is the transport's own word for an error of it, for the user; nil for an error that is none. It may be nil.
	Describe func(ctx context.Context, err error) error
	// Peer is the registry as messages name it; its Host is the registry's name if it is empty.
	Peer wire.Peer
	// Limits bound what is read; the zero value is DefaultLimits.
	Limits Limits
}

// ByItself is an artifact's repository in a registry that a transport logs in to and describes.
func ByItself(ref name.Digest, through interface {
	http.RoundTripper
	Describe(ctx context.Context, err error) error
}) Artifact {
	return Artifact{Ref: ref, Transport: through, LoggedIn: true, Describe: through.Describe}
}

// Authenticator is the login, never nil.
func (a Artifact) Authenticator() authn.Authenticator {
	if a.Auth == nil {
		return authn.Anonymous
	}
	return a.Auth
}

// Bounded is the artifact's transport with the limits of one verification.
func (a Artifact) Bounded() http.RoundTripper {
	return &bounded{next: a.Transport, limits: a.Bounds()}
}

// Bounds is the limits with defaults for those that are not set.
func (a Artifact) Bounds() Limits {
	l, usual := a.Limits, DefaultLimits()
	if l.Signatures <= 0 {
		l.Signatures = usual.Signatures
	}
	if l.Signature <= 0 {
		l.Signature = usual.Signature
	}
	if l.Bytes <= 0 {
		l.Bytes = usual.Bytes
	}
	return l
}
