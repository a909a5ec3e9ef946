package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/golang-jwt/jwt/v5"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// The keys of a Secret with a GitHub App. They are Flux's.
const (
	keyAppID             = "githubAppID"
	keyInstallationID    = "githubAppInstallationID"
	keyInstallationOwner = "githubAppInstallationOwner"
	keyPrivateKey        = "githubAppPrivateKey"
	keyBaseURL           = "githubAppBaseURL"
)

// appUser is the user name beside the token of an installation.
const appUser = "x-access-token"

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
	s.fresh = i.tokens.renew(s)
	app.issuer, app.subject, app.tls = i, s, tls
	token, err := i.tokens.get(ctx, s, app.key(), app.fetch)
	if err != nil && ctx.Err() != nil {
		return secret.Login{}, refused("GitHub App of spec.secretRef: %s did not give a token in time", app.host)
	}
	if err != nil {
		return secret.Login{}, err
	}
	its, ok := token.(*appToken)
	if !ok {
		return secret.Login{}, fmt.Errorf("%T is no token of a GitHub App", token)
	}
	return secret.Login{Username: appUser, Password: its.Token}, nil
}

// app is a GitHub App, and who wants to log in as it.
type app struct {
	issuer  *Issuer
	subject Subject
	data    map[string][]byte
	tls     secret.TLS
	base    string // address of its API
	host    string // of that
}

// parseApp reads what a Secret says of an App. White space around a value is left out: it means nothing in any of them. The
// error names keys, never values.
func parseApp(data map[string][]byte) (*app, error) {
	a := &app{data: map[string][]byte{}, base: "https://api.github.com", host: "api.github.com"}
	for _, name := range []string{
		keyAppID, keyInstallationID, keyInstallationOwner, keyPrivateKey, keyBaseURL,
	} {
		if value := strings.TrimSpace(string(data[name])); value != "" {
			a.data[name] = []byte(value)
		}
	}
	for _, name := range []string{keyAppID, keyInstallationID} {
		value, set := a.data[name]
		if n, err := strconv.ParseInt(string(value), 10, 64); set && (err != nil || n <= 0) {
			return nil, fmt.Errorf("%s is not a positive number", name)
		}
	}
	_, id := a.data[keyInstallationID]
	_, owner := a.data[keyInstallationOwner]
	switch {
	case a.data[keyAppID] == nil:
		return nil, fmt.Errorf("%s is missing", keyAppID)
	case id == owner:
		return nil, fmt.Errorf("exactly one of %s and %s has to be set", keyInstallationID, keyInstallationOwner)
	case a.data[keyPrivateKey] == nil:
		return nil, fmt.Errorf("%s is missing", keyPrivateKey)
	}
	return a, a.parseBase()
}

func (a *app) parseBase() error {
	base := string(a.data[keyBaseURL])
	if base == "" {
		return nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s is not a URL such as https://github.example.com/api/v3", keyBaseURL)
	}
	a.base, a.host = strings.TrimRight(base, "/"), u.Host
	return nil
}

func (a *app) key() string {
	parts := []string{"githubapp", a.subject.Namespace, proxyText(a.subject.Proxy)}
	for _, name := range []string{
		keyAppID, keyInstallationID, keyInstallationOwner, keyPrivateKey, keyBaseURL,
	} {
		parts = append(parts, string(a.data[name]))
	}
	return key(parts...)
}

// appToken is what an installation is let in with.
type appToken struct {
	Token string    `json:"token"`
	Ends  time.Time `json:"expires_at"`
}

// GetDuration is how long it is good for.
func (t *appToken) GetDuration() time.Duration { return time.Until(t.Ends) }

func (a *app) fetch(ctx context.Context) (auth.Token, error) {
	signed, err := a.sign()
	if err != nil {
		return nil, refused("the GitHub App in the Secret of spec.secretRef cannot be used: %s is not an RSA key in PEM", keyPrivateKey)
	}
	w, done := a.issuer.dial(a.peer())
	defer done()
	var token appToken
	id, err := a.installation(ctx, w, signed)
	if err == nil {
		err = a.ask(ctx, w, http.MethodPost, "/app/installations/"+id+"/access_tokens", signed, &token)
	}
	if err != nil || token.Token == "" || token.Ends.IsZero() {
		return nil, refused("GitHub App of spec.secretRef: %s", a.explain(w))
	}
	return &token, nil
}

func (a *app) peer() wire.Peer {
	return wire.Peer{Host: a.host, TLS: a.tls, TLSField: "spec.secretRef", Proxy: secret.Proxy{URL: a.subject.Proxy}}
}

// sign makes what an App is known by for a minute and a half, as GitHub documents it. It begins before now, for a clock that is
// a little ahead.
func (a *app) sign() (string, error) {
	key, err := jwt.ParseRSAPrivateKeyFromPEM(a.data[keyPrivateKey])
	if err != nil {
		return "", err
	}
	begin := a.issuer.options.Clock().Truncate(time.Second).Add(-30 * time.Second)
	return jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer:   string(a.data[keyAppID]),
		IssuedAt: jwt.NewNumericDate(begin), ExpiresAt: jwt.NewNumericDate(begin.Add(2 * time.Minute)),
	}).SignedString(key)
}

// installation is the number of the installation: as it is set, or that of its owner, an organization or else a user.
func (a *app) installation(ctx context.Context, w *witness, signed string) (string, error) {
	if id := a.data[keyInstallationID]; id != nil {
		return string(id), nil
	}
	var found struct {
		ID int64 `json:"id"`
	}
	owner := url.PathEscape(string(a.data[keyInstallationOwner]))
	err := a.ask(ctx, w, http.MethodGet, "/orgs/"+owner+"/installation", signed, &found)
	if err != nil && w.outcome().status == http.StatusNotFound {
		err = a.ask(ctx, w, http.MethodGet, "/users/"+owner+"/installation", signed, &found)
	}
	if err == nil && found.ID == 0 {
		err = errNotUnderstood
	}
	return strconv.FormatInt(found.ID, 10), err
}

var errNotUnderstood = errors.New("not an answer of GitHub")

// ask sends a request as the App. What it fails with is in what the witness saw.
func (a *app) ask(ctx context.Context, w *witness, method, path, signed string, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, http.NoBody)
	if err != nil {
		return errNotUnderstood
	}
	r.Header.Set("Authorization", "Bearer "+signed)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	response, err := w.client().Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusMultipleChoices {
		return errNotUnderstood
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// explain says why there is no token. Of what GitHub wrote it uses the status, the time and how many requests are left.
func (a *app) explain(w *witness) string {
	o := w.outcome()
	there, err := http.ParseTime(o.header.Get("Date"))
	skewed := err == nil && a.issuer.options.Clock().Sub(there).Abs() > maxSkew
	limited := o.header.Get("X-RateLimit-Remaining") == "0" || o.header.Get("Retry-After") != ""
	switch {
	case o.err != nil:
		return w.unreachable(o)
	case o.status == http.StatusUnauthorized && skewed:
		return fmt.Sprintf("%s refuses what was signed (401): the clock of this node differs from its own by more than a minute; set it right", a.host)
	case o.status == http.StatusUnauthorized:
		return fmt.Sprintf("%s refuses the key (401): %s does not belong to %s, or was deleted there; store a key of this App",
			a.host, keyPrivateKey, keyAppID)
	case o.status == http.StatusTooManyRequests, o.status == http.StatusForbidden && limited:
		return fmt.Sprintf("%s has been asked too often by this App (%d); nothing has to be done but wait", a.host, o.status)
	case o.status == http.StatusForbidden:
		return fmt.Sprintf("%s refuses the installation (403): it is suspended, or the owner allows no access from here", a.host)
	case o.status == http.StatusNotFound:
		return fmt.Sprintf("%s knows no such installation of this App (404): install it for the repository's owner, or correct %s or %s",
			a.host, keyInstallationID, keyInstallationOwner)
	case o.status < http.StatusMultipleChoices:
		return fmt.Sprintf("%s answers something that is no token; is %s right?", a.host, keyBaseURL)
	}
	return fmt.Sprintf("%s gives no token, and answers %s", a.host, status(o.status))
}
