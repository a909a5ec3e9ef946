package oci

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
)

// Through is how other clients of the protocol ask the registry of a repository, such as those that verify signatures: with the
// same login, the same rules about hosts and redirects, and the same [Memory]. Answers are what the registry sent, with any
// status but 429, which is a [RateLimited]. Their size is not bounded.
type Through struct{ session *session }

// Via is the way to the registry of a repository; nothing is sent yet.
func Via(repo name.Repository, o Options) *Through { return &Through{newSession(repo, o)} }

// RoundTrip implements http.RoundTripper.
func (t *Through) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.session.RoundTrip(req.WithContext(asks(req.Context(), asking{what: "signatures", raw: true})))
}

// Describe turns an error of a request into one for the user; nil for one that did not come from here.
func (t *Through) Describe(ctx context.Context, err error) error {
	if !network(err) {
		return nil
	}
	return t.session.describe(ctx, asking{what: "signatures"}, err)
}
