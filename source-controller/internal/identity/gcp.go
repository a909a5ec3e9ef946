package identity

import (
	"context"
	"net/http"

	gcpauth "github.com/fluxcd/pkg/auth/gcp"
	"golang.org/x/oauth2"
	googleauth "golang.org/x/oauth2/google"
	"golang.org/x/oauth2/google/externalaccount"
)

func google() cloud {
	return cloud{
		name: gcpauth.ProviderName, title: "GCP",
		bind: func(w *witness) provider { return gcpauth.Provider{Implementation: gcpCalls{w: w}} },
		// The metadata server is never asked through a proxy.
		federated: "GOOGLE_APPLICATION_CREDENTIALS",
		annotations: "its annotation iam.gke.io/gcp-service-account is not the address of a GCP service account; " +
			"write <name>@<project>.iam.gserviceaccount.com, or remove it to log in as the ServiceAccount itself",
		audience: "it has no annotation gcp.auth.fluxcd.io/workload-identity-provider of the form projects/<number>/locations/global/" +
			"workloadIdentityPools/<pool>/providers/<provider>, and no metadata server says that this is a cluster of GKE; set it",
		nothing: "there are no credentials in its environment, and no metadata server gives any; set up Workload Identity Federation for " +
			"source-controller, or name a ServiceAccount in " + accountField,
		registry: "<location>-docker.pkg.dev or gcr.io",
		meanings: []meaning{
			{host: "iamcredentials.", status: http.StatusForbidden, words: "GCP does not let it act as the service account in its annotation " +
				"iam.gke.io/gcp-service-account; grant {subject} roles/iam.workloadIdentityUser on it"},
			{host: "iamcredentials.", status: http.StatusNotFound, words: "GCP knows no service account as in its annotation " +
				"iam.gke.io/gcp-service-account; correct it"},
			{code: "invalid_target", words: "GCP knows no such workload identity pool or provider; correct the annotation " +
				"gcp.auth.fluxcd.io/workload-identity-provider"},
			{code: "invalid_grant", words: "GCP does not take the token; its provider in the workload identity pool needs the issuer of this " +
				"cluster, and an attribute condition that lets {subject} in"},
			{host: "sts.", status: http.StatusForbidden, words: "GCP does not let it into the workload identity pool"},
		},
	}
}

// gcpCalls is what the library asks GCP, on a connection. It asks the metadata server of the node on one of its own.
type gcpCalls struct {
	gcpauth.Implementation // what is not asked here: clusters

	w *witness
}

func (c gcpCalls) on(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, c.w.client())
}

// DefaultTokenSource finds this controller's own credentials.
func (c gcpCalls) DefaultTokenSource(ctx context.Context, scopes ...string) (oauth2.TokenSource, error) {
	return googleauth.DefaultTokenSource(c.on(ctx), scopes...)
}

// NewTokenSource exchanges a ServiceAccount's token.
func (c gcpCalls) NewTokenSource(ctx context.Context, conf externalaccount.Config) (oauth2.TokenSource, error) {
	return externalaccount.NewTokenSource(c.on(ctx), conf)
}
