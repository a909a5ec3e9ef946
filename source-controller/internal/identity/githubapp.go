package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/githubapp"
	"github.com/google/go-github/v87/github"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// maxSkew is how wrong a clock may be for GitHub to take what an App signs with it.
const maxSkew = time.Minute

// GitHubApp returns the login that an installation of a GitHub App has: githubAppID, one of githubAppInstallationID and
// githubAppInstallationOwner, githubAppPrivateKey, and githubAppBaseURL for another server than GitHub's own, which is reached
// with the authorities and the certificate given.
func (i *Issuer) GitHubApp(ctx context.Context, s Subject, data map[string][]byte, tls secret.TLS) (secret.Login, error) {
	app, err := parseApp(data)
	if err != nil {
		return secret.Login{}, refused("the GitHub App in the Secret of spec.secretRef cannot be used: %v", err)
	}
	app.issuer, app.subject, app.tls = i, s, tls
	token, err := i.tokens.get(ctx, s, app.key(), app.fetch)
	if err != nil && ctx.Err() != nil {
		return secret.Login{}, refused("GitHub App of spec.secretRef: %s did not give a token in time", app.host)
	}
	if err != nil {
		return secret.Login{}, err
	}
	its, ok := token.(*githubapp.AppToken)
	if !ok {
		return secret.Login{}, fmt.Errorf("%T is no token of a GitHub App", token)
	}
	return secret.Login{Username: githubapp.AccessTokenUsername, Password: its.Token}, nil
}

// app is a GitHub App, and who wants to log in as it.
type app struct {
	issuer  *Issuer
	subject Subject
	data    map[string][]byte
	tls     secret.TLS
	host    string // of its API
}

// parseApp reads what a Secret says of an App. White space around a value is left out: it means nothing in any of them. The
// error names keys, never values.
func parseApp(data map[string][]byte) (*app, error) {
	a := &app{data: map[string][]byte{}, host: "api.github.com"}
	for _, name := range []string{
		githubapp.KeyAppID, githubapp.KeyAppInstallationID, githubapp.KeyAppInstallationOwner, githubapp.KeyAppPrivateKey, githubapp.KeyAppBaseURL,
	} {
		if value := strings.TrimSpace(string(data[name])); value != "" {
			a.data[name] = []byte(value)
		}
	}
	for _, name := range []string{githubapp.KeyAppID, githubapp.KeyAppInstallationID} {
		value, set := a.data[name]
		if n, err := strconv.ParseInt(string(value), 10, 64); set && (err != nil || n <= 0) {
			return nil, fmt.Errorf("%s is not a positive number", name)
		}
	}
	_, id := a.data[githubapp.KeyAppInstallationID]
	_, owner := a.data[githubapp.KeyAppInstallationOwner]
	switch {
	case a.data[githubapp.KeyAppID] == nil:
		return nil, fmt.Errorf("%s is missing", githubapp.KeyAppID)
	case id == owner:
		return nil, fmt.Errorf("exactly one of %s and %s has to be set", githubapp.KeyAppInstallationID, githubapp.KeyAppInstallationOwner)
	case a.data[githubapp.KeyAppPrivateKey] == nil:
		return nil, fmt.Errorf("%s is missing", githubapp.KeyAppPrivateKey)
	}
	return a, a.parseBase()
}

func (a *app) parseBase() error {
	base := string(a.data[githubapp.KeyAppBaseURL])
	if base == "" {
		return nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s is not a URL such as https://github.example.com/api/v3", githubapp.KeyAppBaseURL)
	}
	a.host = u.Host
	return nil
}

func (a *app) key() string {
	parts := []string{"githubapp", a.subject.Namespace, proxyText(a.subject.Proxy)}
	for _, name := range []string{
		githubapp.KeyAppID, githubapp.KeyAppInstallationID, githubapp.KeyAppInstallationOwner, githubapp.KeyAppPrivateKey, githubapp.KeyAppBaseURL,
	} {
		parts = append(parts, string(a.data[name]))
	}
	return key(parts...)
}

func (a *app) fetch(ctx context.Context) (auth.Token, error) {
	options := []githubapp.OptFunc{githubapp.WithAppData(a.data)}
	if a.subject.Proxy != nil {
		options = append(options, githubapp.WithProxyURL(a.subject.Proxy))
	}
	if !a.tls.IsZero() {
		options = append(options, githubapp.WithTLSConfig(a.tls.Config()))
	}
	client, err := githubapp.New(options...)
	if err != nil {
		return nil, refused("the GitHub App in the Secret of spec.secretRef cannot be used: %s is not an RSA key in PEM", githubapp.KeyAppPrivateKey)
	}
	token, err := client.GetToken(ctx)
	switch {
	case err != nil:
		return nil, refused("GitHub App of spec.secretRef: %s", a.explain(ctx, err))
	case token.Token == "" || token.ExpiresAt.IsZero():
		return nil, refused("GitHub App of spec.secretRef: %s answers something that is no token; is %s right?", a.host, githubapp.KeyAppBaseURL)
	}
	return token, nil
}

// explain says why there is no token. Of what GitHub wrote it uses the status and the time.
func (a *app) explain(ctx context.Context, err error) string {
	var (
		refusal *github.ErrorResponse
		limit   *github.RateLimitError
		abuse   *github.AbuseRateLimitError
	)
	switch {
	case ctx.Err() != nil:
		return a.host + " did not give a token in time"
	case errors.As(err, &limit), errors.As(err, &abuse):
		return a.host + " has been asked too often by this App; nothing has to be done but wait"
	case errors.As(err, &refusal) && refusal.Response != nil:
		return a.refusal(refusal.Response)
	}
	peer := wire.Peer{Host: a.host, TLS: a.tls, TLSField: "spec.secretRef", Proxy: secret.Proxy{URL: a.subject.Proxy}}
	if said := wire.Explain(peer, err); said != nil {
		return said.Error()
	}
	return fmt.Sprintf("%s answers something that is no token; is %s right?", a.host, githubapp.KeyAppBaseURL)
}

func (a *app) refusal(r *http.Response) string {
	there, err := http.ParseTime(r.Header.Get("Date"))
	skewed := err == nil && a.issuer.options.Clock().Sub(there).Abs() > maxSkew
	switch {
	case r.StatusCode == http.StatusUnauthorized && skewed:
		return fmt.Sprintf("%s refuses what was signed (401): the clock of this node differs from its own by more than a minute; set it right", a.host)
	case r.StatusCode == http.StatusUnauthorized:
		return fmt.Sprintf("%s refuses the key (401): %s does not belong to %s, or was deleted there; store a key of this App",
			a.host, githubapp.KeyAppPrivateKey, githubapp.KeyAppID)
	case r.StatusCode == http.StatusForbidden:
		return fmt.Sprintf("%s refuses the installation (403): it is suspended, or the owner allows no access from here", a.host)
	case r.StatusCode == http.StatusNotFound:
		return fmt.Sprintf("%s knows no such installation of this App (404): install it for the repository's owner, or correct %s or %s",
			a.host, githubapp.KeyAppInstallationID, githubapp.KeyAppInstallationOwner)
	}
	return fmt.Sprintf("%s gives no token, and answers %s", a.host, status(r.StatusCode))
}
