package git

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// Credentials are what a Secret says about how to reach a repository. They print as nothing.
type Credentials struct {
	username, password, bearer string
	roots                      *x509.CertPool
	certificate                *tls.Certificate
	proxy                      *url.URL
	// padded and proxyPadded say which keys of the two Secrets have white space around their values.
	padded, proxyPadded padding
}

// String keeps credentials out of whatever prints them.
func (Credentials) String() string { return "credentials" }

// GoString keeps credentials out of whatever prints them.
func (Credentials) GoString() string { return "credentials" }

// ParseCredentials reads the keys that Flux defines for repositories over HTTP: username and password, of which the one may
// be in the address and the other not needed, or bearerToken; ca.crt (or caFile); tls.crt and tls.key. The error names keys,
// never values.
//
// White space around a token means nothing in a request, and is left out. A user name and a password are sent as they are:
// it may be meant, but if they are refused, that is said.
func ParseCredentials(data map[string][]byte) (Credentials, error) {
	var c Credentials
	if len(data["githubAppID"]) > 0 {
		return c, errors.New("it holds a GitHub App (githubAppID), which is not served; use username and password, or bearerToken")
	}
	c.username, c.password = string(data["username"]), string(data["password"])
	c.padded = paddingOf(data, "username", "password")
	c.bearer = strings.TrimSpace(string(data["bearerToken"]))
	if strings.ContainsFunc(c.bearer, unicode.IsControl) {
		return c, errors.New("bearerToken has a line end or another control character inside; it is one line")
	}
	tlsSet, err := c.parseTLS(data)
	if err != nil {
		return c, err
	}
	if c.username == "" && c.password == "" && c.bearer == "" && !tlsSet {
		return c, errors.New("it has none of username and password, bearerToken, ca.crt, tls.crt and tls.key")
	}
	return c, nil
}

func (c *Credentials) parseTLS(data map[string][]byte) (set bool, err error) {
	authority := data["ca.crt"]
	if len(authority) == 0 {
		authority = data["caFile"]
	}
	if len(authority) > 0 {
		if c.roots, err = x509.SystemCertPool(); err != nil {
			c.roots = x509.NewCertPool()
		}
		if !c.roots.AppendCertsFromPEM(authority) {
			return false, errors.New("ca.crt holds no PEM certificate")
		}
		set = true
	}
	cert, key := data["tls.crt"], data["tls.key"]
	if len(cert) == 0 && len(key) == 0 {
		return set, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, errors.New("tls.crt and tls.key are not a certificate and its key in PEM")
	}
	c.certificate = &pair
	return true, nil
}

// WithProxy returns the credentials with the proxy that a Secret describes: address, and username and password if it
// wants them.
func (c Credentials) WithProxy(data map[string][]byte) (Credentials, error) {
	u, err := url.Parse(strings.TrimSpace(string(data["address"])))
	if err != nil || u.Host == "" {
		return c, errors.New("address is not a URL such as http://proxy:3128")
	}
	if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return c, fmt.Errorf("address has the scheme %q; http, https and socks5 are served", u.Scheme)
	}
	if len(data["username"]) > 0 {
		u.User = url.UserPassword(string(data["username"]), string(data["password"]))
		c.proxyPadded = paddingOf(data, "username", "password")
	}
	c.proxy = u
	return c, nil
}

// orUser returns the credentials with a user name that the repository's address holds, unless they have one.
func (c Credentials) orUser(name string) Credentials {
	if c.username == "" && c.bearer == "" {
		c.username = name
	}
	return c
}

// nameOnly is set when there is a user name and nothing else. Some servers take a token there.
func (c Credentials) nameOnly() bool { return c.username != "" && c.password == "" && c.bearer == "" }

// ownTransport is set when these credentials need connections that nobody else uses.
func (c Credentials) ownTransport() bool {
	return c.roots != nil || c.certificate != nil || c.proxy != nil
}

// secret is set when a request carries something that only the repository's host may see.
func (c Credentials) secret() bool {
	return c.username != "" || c.bearer != "" || c.certificate != nil
}

func (c Credentials) method() githttp.AuthMethod {
	switch {
	case c.bearer != "":
		return &githttp.TokenAuth{Token: c.bearer}
	case c.username != "":
		return &githttp.BasicAuth{Username: c.username, Password: c.password}
	}
	return nil
}

func (c Credentials) configure(t *http.Transport) {
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots}
	if c.certificate != nil {
		t.TLSClientConfig.Certificates = []tls.Certificate{*c.certificate}
	}
	if c.proxy != nil {
		t.Proxy = http.ProxyURL(c.proxy)
	}
}
