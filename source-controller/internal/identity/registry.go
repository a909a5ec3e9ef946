package identity

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/auth"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// Registry returns the login to the registry of a repository, which is host/path, with or without oci:// before it.
func (i *Issuer) Registry(ctx context.Context, provider string, s Subject, repository string) (secret.Login, error) {
	c, problem := cloudOf(provider)
	if problem != nil {
		return secret.Login{}, problem
	}
	repository = strings.TrimPrefix(repository, "oci://")
	p := c.bind(nil)
	registry, err := p.ParseArtifactRepository(repository)
	if err != nil {
		return secret.Login{}, refused("spec.url: not a registry of %s, which is %s; correct it, or spec.provider", c.title, c.registry)
	}
	needs, err := p.GetAccessTokenOptionsForArtifactRepository(repository)
	if err != nil {
		return secret.Login{}, refused("spec.url: %s tells nothing about how to log in there", c.title)
	}
	a, err := i.access(ctx, c, s, needs...)
	if err != nil {
		return secret.Login{}, err
	}
	token, err := a.kept(ctx, key("registry", a.key, registry, proxyText(s.Proxy)), func(ctx context.Context) (auth.Token, error) {
		return a.registry(ctx, registry, s)
	})
	if err != nil {
		return secret.Login{}, err
	}
	return loginOf(token)
}

// registry exchanges an access token for the login. That is asked over TLS, and so goes through the object's proxy.
func (a *access) registry(ctx context.Context, registry string, s Subject) (auth.Token, error) {
	token, err := a.token(ctx)
	if err != nil {
		return nil, err
	}
	return a.call(ctx, s.Proxy, func(p provider) (auth.Token, error) {
		return p.NewArtifactRegistryCredentials(ctx, registry, token, a.options...)
	})
}

func loginOf(token auth.Token) (secret.Login, error) {
	switch t := token.(type) {
	case *auth.ArtifactRegistryCredentials:
		login, err := t.Authorization()
		if err != nil {
			return secret.Login{}, refused("the registry's login cannot be read")
		}
		return secret.Login{Username: login.Username, Password: login.Password}, nil
	case *auth.GitCredentials:
		return secret.Login{Username: t.Username, Password: t.Password, Bearer: t.BearerToken}, nil
	}
	return secret.Login{}, fmt.Errorf("%T is no login", token)
}
