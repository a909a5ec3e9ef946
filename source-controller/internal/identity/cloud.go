package identity

import (
	"github.com/fluxcd/pkg/auth"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// provider is one of the library's, all of which know registries.
type provider = auth.ArtifactRegistryCredentialsProvider

// cloud is what differs from one to another.
type cloud struct {
	name, title string
	// bind returns the library's provider, with its requests on a connection; it sends none without.
	bind func(*witness) provider
	// federated is the environment variable that is set where this controller's own token is exchanged over TLS. Without it the
	// token comes from the node, in the clear, which is nothing to send through an object's proxy.
	federated string
	// annotations, audience and nothing say what is wrong when a ServiceAccount's annotations do not say who it is, when there
	// is nobody to ask for the audience, and when the controller has no identity of its own.
	annotations, audience, nothing string
	// registry and git say which addresses are those of the cloud.
	registry, git string
	// gitHosts are those that its tokens for Git may be sent to; one that starts with a dot stands for all below.
	gitHosts []string
	// meanings are what its refusals mean, those first that are more specific.
	meanings []meaning
}

func (c cloud) exchangesOverTLS(getenv func(string) string) bool { return getenv(c.federated) != "" }

// cloudOf finds a cloud by spec.provider.
func cloudOf(name string) (cloud, *plan.Problem) {
	for _, c := range []cloud{amazonWebServices(), azure(), google()} {
		if c.name == name {
			return c, nil
		}
	}
	return cloud{}, refused("spec.provider: %q is no cloud to log in to; aws, azure and gcp are", name)
}
