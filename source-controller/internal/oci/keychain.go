package oci

import (
	"encoding/json"
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// dockerHub is the host that docker.io stands for.
const dockerHub = name.DefaultRegistry

// Keychain reads the logins of a docker config: what `docker login` and `kubectl create secret docker-registry` write, or
// the older form without auths. The error names keys, never values.
//
// A registry's login is the one whose key fits best, by Kubernetes' rules for pull secrets: its host may have * in its
// parts, and a path is the beginning of the repository's. No other host is given it.
func Keychain(dockerConfigJSON []byte) (authn.Keychain, error) {
	var config struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	if err := json.Unmarshal(dockerConfigJSON, &config); err != nil {
		return nil, errors.New("the docker config is not JSON with a map of auths; make it with kubectl create secret docker-registry")
	}
	if config.Auths == nil {
		if err := json.Unmarshal(dockerConfigJSON, &config.Auths); err != nil || len(config.Auths) == 0 {
			return nil, errors.New("the docker config has no auths; make it with kubectl create secret docker-registry")
		}
	}
	var logins keychain
	for key, raw := range config.Auths {
		host, prefix, ok := splitKey(key)
		if !ok {
			continue // it fits no registry
		}
		var auth authn.AuthConfig
		if err := json.Unmarshal(raw, &auth); err != nil {
			return nil, errors.New("a login in auths of the docker config has no proper username and password, or auth, which is both in base64")
		}
		logins = append(logins, login{host, prefix, auth})
	}
	// The most specific comes first: plain hosts before patterns, long paths before short ones. The order does not depend on
	// that of a map.
	slices.SortFunc(logins, func(a, b login) int { return strings.Compare(b.host+"/"+b.prefix, a.host+"/"+a.prefix) })
	return logins, nil
}

// Logins are docker configs of which the first fits that has a login. The zero value has none; it prints as nothing.
type Logins struct {
	chains []authn.Keychain
}

// Add reads a docker config, with the rules and the errors of [Keychain].
func (l *Logins) Add(dockerConfigJSON []byte) error {
	chain, err := Keychain(dockerConfigJSON)
	if err == nil {
		l.chains = append(l.chains, chain)
	}
	return err
}

// IsZero is set when there is no docker config.
func (l *Logins) IsZero() bool { return len(l.chains) == 0 }

// For is the login for a repository; nil for none.
func (l *Logins) For(repo name.Repository) authn.Authenticator {
	for _, chain := range l.chains {
		if auth, err := chain.Resolve(repo); err == nil && auth != authn.Anonymous {
			return auth
		}
	}
	return nil
}

// LoginOf is a user name and a password, or a token, as a registry takes them.
func LoginOf(l secret.Login) authn.Authenticator {
	return authn.FromConfig(authn.AuthConfig{Username: l.Username, Password: l.Password, RegistryToken: l.Bearer})
}

type login struct {
	host, prefix string
	auth         authn.AuthConfig
}

type keychain []login

// Resolve implements authn.Keychain.
func (k keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	host := target.RegistryStr()
	repo := strings.TrimPrefix(strings.TrimPrefix(target.String(), host), "/")
	for _, l := range k {
		if fits(l.host, host) && (l.prefix == "" || repo == l.prefix || strings.HasPrefix(repo, l.prefix+"/")) && l.auth != (authn.AuthConfig{}) {
			return authn.FromConfig(l.auth), nil
		}
	}
	return authn.Anonymous, nil
}

// String keeps logins out of whatever prints them.
func (keychain) String() string { return "logins" }

// GoString keeps logins out of whatever prints them.
func (keychain) GoString() string { return "logins" }

// splitKey reads a key of auths: a host, or a URL, with or without a path. The path of the registry protocol, which docker
// login writes, means nothing.
func splitKey(key string) (host, prefix string, ok bool) {
	if !strings.Contains(key, "://") {
		key = "https://" + key
	}
	u, err := url.Parse(key)
	if err != nil || u.Host == "" || u.User != nil {
		return "", "", false
	}
	host, prefix = strings.ToLower(u.Host), strings.Trim(u.Path, "/")
	if host == "docker.io" || host == "registry-1.docker.io" {
		host = dockerHub
	}
	if prefix == "v1" || prefix == "v2" {
		prefix = ""
	}
	return host, prefix, true
}

// fits compares a host with a pattern, part by part; the port must be the same.
func fits(pattern, host string) bool {
	if pattern == host {
		return true
	}
	p, h := &url.URL{Host: pattern}, &url.URL{Host: strings.ToLower(host)}
	want, have := strings.Split(p.Hostname(), "."), strings.Split(h.Hostname(), ".")
	if p.Port() != h.Port() || len(want) != len(have) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], have[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
