package plan

import (
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// githubAppKey is the key of a Secret that says that it holds a GitHub App.
const githubAppKey = "githubAppID"

// validateProvider says why nobody can be logged in as a provider does it; nil if somebody can.
func validateProvider(spec sourcev1.GitRepositorySpec) *Problem {
	invalid := func(format string, args ...any) *Problem {
		return terminal(FetchProblem(sourcev1.InvalidProviderConfigurationReason, format, args...))
	}
	named := spec.Provider == sourcev1.GitProviderAzure || spec.Provider == sourcev1.GitProviderAWS
	switch spec.Provider {
	case "", sourcev1.GitProviderGeneric, sourcev1.GitProviderAzure, sourcev1.GitProviderAWS, sourcev1.GitProviderGitHub:
	default:
		return invalid("spec.provider %q is unknown; use generic, azure, aws or github", spec.Provider)
	}
	switch {
	case spec.ServiceAccountName != "" && !named:
		return invalid("spec.serviceAccountName is for logging in to a cloud; set spec.provider to azure or aws, or remove it")
	case spec.Provider == sourcev1.GitProviderGitHub && spec.SecretRef == nil:
		return invalid("spec.provider github logs in as a GitHub App; set spec.secretRef to the Secret that holds it (%s)", githubAppKey)
	case (named || spec.Provider == sourcev1.GitProviderGitHub) && OverSSH(spec.URL):
		return invalid("spec.provider %s logs in over https; write spec.url with https, or remove the provider and use a key", spec.Provider)
	}
	return nil
}

// FitsProvider says why a Secret, which is named by its namespace and name, is not one for a provider; nil if it is. Unlike the
// spec it may change at any time.
func FitsProvider(provider, name string, data map[string][]byte) *Problem {
	app := strings.TrimSpace(string(data[githubAppKey])) != ""
	switch {
	case app && provider != sourcev1.GitProviderGitHub:
		return FetchProblem(sourcev1.InvalidProviderConfigurationReason,
			"Secret %s of spec.secretRef holds a GitHub App (%s), which is for spec.provider github; set that, or use another Secret", name, githubAppKey)
	case !app && provider == sourcev1.GitProviderGitHub:
		return FetchProblem(sourcev1.InvalidProviderConfigurationReason,
			"spec.provider github logs in as a GitHub App, and Secret %s of spec.secretRef holds none (%s); add it, or remove the provider",
			name, githubAppKey)
	}
	return nil
}
