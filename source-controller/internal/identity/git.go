package identity

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/auth"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// Git returns the login to a repository: a token for Azure DevOps, or a user name and a signature as password for CodeCommit
// of AWS, which holds for this address and a quarter of an hour.
func (i *Issuer) Git(ctx context.Context, provider string, s Subject, address string) (secret.Login, error) {
	c, problem := cloudOf(provider)
	if problem != nil {
		return secret.Login{}, problem
	}
	p, ok := c.bind(nil).(auth.GitCredentialsProvider)
	if !ok {
		return secret.Login{}, refused("spec.provider: %s has no Git repositories to log in to; azure and aws have", c.title)
	}
	u, err := url.Parse(address)
	if err != nil {
		return secret.Login{}, refused("spec.url: not a URL")
	}
	repository, err := p.ParseGitRepository(u)
	if err != nil || !c.hasGit(u) {
		return secret.Login{}, refused("spec.url: not a repository of %s, which is %s; correct it, or spec.provider", c.title, c.git)
	}
	needs, err := p.GetAccessTokenOptionsForGitRepository(u)
	if err != nil {
		return secret.Login{}, refused("spec.url: %s tells nothing about how to log in there", c.title)
	}
	a, err := i.access(ctx, c, s, needs...)
	if err != nil {
		return secret.Login{}, err
	}
	token, err := a.kept(ctx, key("git", a.key, repository), func(ctx context.Context) (auth.Token, error) {
		return a.repository(ctx, repository)
	})
	if err != nil {
		return secret.Login{}, err
	}
	login, err := loginOf(token)
	// What AWS gives for keys that do not end has no session.
	login.Username = strings.TrimSuffix(login.Username, "%")
	return login, err
}

// hasGit reports whether an address is one of the cloud's own: whoever writes spec.url chooses who sees the token, which is good for
// all that the identity may read. The library looks at AWS' addresses alone.
func (c cloud) hasGit(u *url.URL) bool {
	return len(c.gitHosts) == 0 || u.Scheme == "https" && slices.ContainsFunc(c.gitHosts, func(host string) bool {
		name := strings.ToLower(u.Hostname())
		return name == host || strings.HasPrefix(host, ".") && strings.HasSuffix(name, host)
	})
}

// repository makes the login of an access token. Nothing is asked for it.
func (a *access) repository(ctx context.Context, repository string) (auth.Token, error) {
	token, err := a.token(ctx)
	if err != nil {
		return nil, err
	}
	return a.call(ctx, nil, func(p provider) (auth.Token, error) {
		git, ok := p.(auth.GitCredentialsProvider)
		if !ok {
			return nil, refused("%s has no Git repositories", a.cloud.title)
		}
		return git.NewGitCredentials(ctx, repository, token, a.options...)
	})
}
