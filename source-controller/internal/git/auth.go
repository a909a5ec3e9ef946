package git

import (
	"errors"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/ssh"
)

// loginField names the Secret that credentials are from.
const loginField = "spec.secretRef"

// Credentials are how to reach a repository, and who we are there. They print as nothing.
type Credentials struct {
	// Login and TLS are for HTTP.
	Login secret.Login
	TLS   secret.TLS
	// SSH is for SSH.
	SSH ssh.Login
	// Proxy is for both.
	Proxy secret.Proxy
	// Provider is the spec.provider that the login is from, if it is from one: it is in messages.
	Provider string
}

// String keeps credentials out of whatever prints them.
func (Credentials) String() string { return "credentials" }

// GoString keeps credentials out of whatever prints them.
func (Credentials) GoString() string { return "credentials" }

// ParseCredentials reads the keys that Flux defines for a repository at an address. Over HTTP they are username and password,
// of which the one may be in the address and the other not needed, or bearerToken; ca.crt (or caFile); tls.crt and tls.key.
// Over SSH they are identity, known_hosts, and password, which is a passphrase there. The error names keys, never values.
func ParseCredentials(address string, data map[string][]byte) (Credentials, error) {
	var c Credentials
	var err error
	if plan.OverSSH(address) {
		c.SSH, err = ssh.ParseLogin(data)
		return c, err
	}
	if c.Login, err = secret.ParseLogin(data); err != nil {
		return c, err
	}
	if c.TLS, err = secret.ParseTLS(data); err != nil {
		return c, err
	}
	if !c.Login.IsZero() || !c.TLS.IsZero() {
		return c, nil
	}
	if len(data["identity"]) > 0 {
		return c, errors.New("it holds an identity, which is for SSH; write spec.url as ssh://git@host/path, or add username and password")
	}
	return c, errors.New("it has none of username and password, bearerToken, ca.crt, tls.crt and tls.key")
}

// orUser returns the credentials with a user name that the repository's address holds, unless they have one.
func (c Credentials) orUser(name string) (Credentials, error) {
	if c.Login.Username == "" && c.Login.Bearer == "" {
		c.Login.Username = name
	}
	if c.Login.Username == "" && c.Login.Password != "" && c.Login.Bearer == "" {
		return c, fmt.Errorf("%w: the Secret of %s has a password and no username; add it", ErrAuthentication, loginField)
	}
	return c, nil
}

// origin is where the login is from, as messages say it.
func (c Credentials) origin() string {
	switch c.Provider {
	case "":
		return "the credentials in " + loginField
	case sourcev1.GitProviderGitHub:
		return "the GitHub App in " + loginField
	}
	return "the identity of spec.provider " + c.Provider
}

// nameOnly is set when there is a user name and nothing else. Some servers take a token there.
func (c Credentials) nameOnly() bool {
	return c.Login.Username != "" && c.Login.Password == "" && c.Login.Bearer == ""
}

// secret is set when a request carries something that only the repository's host may see.
func (c Credentials) secret() bool {
	return c.Login.Username != "" || c.Login.Bearer != "" || c.TLS.HasCertificate()
}

func (c Credentials) method() githttp.AuthMethod {
	switch {
	case c.Login.Bearer != "":
		return &githttp.TokenAuth{Token: c.Login.Bearer}
	case c.Login.Username != "":
		return &githttp.BasicAuth{Username: c.Login.Username, Password: c.Login.Password}
	}
	return nil
}
