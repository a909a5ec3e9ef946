package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// errUnreadable is for what a registry sent and the libraries do not take, of which nothing is repeated.
var errUnreadable = errors.New("the registry sent something that is no signature of the artifact, or not whole")

// Explain is why signatures could not be read, in words for the user. Nothing that the registry sent is in it.
func (a Artifact) Explain(ctx context.Context, err error) error {
	peer := a.Peer
	if peer.Host == "" {
		peer.Host = a.Ref.Context().RegistryStr()
	}
	var exceeded *Exceeded
	switch {
	case errors.As(err, &exceeded):
		return exceeded
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("cannot read the signatures of the artifact: %w", context.Canceled)
	}
	why := error(nil)
	switch status := Status(err); {
	case status != 0:
		why = answer(peer.Host, status, err)
	case a.Describe != nil:
		why = a.Describe(ctx, err)
	default:
		why = wire.Explain(peer, err)
	}
	if why == nil {
		return errUnreadable
	}
	return fmt.Errorf("cannot read the signatures of the artifact: %w", why)
}

// Interrupted reports whether an error says that the registry cannot be asked, rather than that what it has is no signature.
func (a Artifact) Interrupted(ctx context.Context, err error) bool {
	var exceeded *Exceeded
	status := Status(err)
	switch {
	case ctx.Err() != nil, errors.As(err, &exceeded):
		return true
	case status != 0:
		return status != http.StatusNotFound
	case a.Describe != nil:
		return a.Describe(ctx, err) != nil
	}
	return wire.Explain(a.Peer, err) != nil
}

// Status is the HTTP status that an error of a registry's client is about; zero for none.
func Status(err error) int {
	var ggcr *transport.Error
	var oras *errcode.ErrorResponse
	switch {
	case errors.As(err, &ggcr):
		return ggcr.StatusCode
	case errors.As(err, &oras):
		return oras.StatusCode
	}
	return 0
}

// answered is a status of the registry. The client's error stays inside for whoever asks for it, and is never printed.
type answered struct {
	words string
	cause error
}

func (a *answered) Error() string { return a.words }

func (a *answered) Unwrap() error { return a.cause }

func answer(host string, status int, cause error) error {
	words := fmt.Sprintf("%s answered with status %d", host, status)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		words += ": the login is refused, or may not read signatures; it needs the right to pull from the repository"
	case status == http.StatusTooManyRequests:
		words += ": it wants fewer requests; it is asked again later"
	case status >= http.StatusInternalServerError:
		words += ": it has a problem of its own; it is asked again later"
	}
	return &answered{words, cause}
}
