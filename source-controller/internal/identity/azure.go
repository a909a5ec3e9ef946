package identity

import (
	"context"
	"net/http"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/containers/azcontainerregistry"
	azureauth "github.com/fluxcd/pkg/auth/azure"
)

func azure() cloud {
	return cloud{
		name: azureauth.ProviderName, title: "Azure",
		bind:      func(w *witness) provider { return azureauth.Provider{Implementation: azureCalls{w: w}} },
		federated: "AZURE_FEDERATED_TOKEN_FILE",
		annotations: "it needs the annotations azure.workload.identity/client-id and azure.workload.identity/tenant-id, " +
			"of the identity to log in as",
		nothing: "there are no credentials in its environment, and the node has no managed identity; set up workload identity for " +
			"source-controller and replace its Pod, or name a ServiceAccount in " + accountField,
		registry: "<registry>.azurecr.io",
		git:      "https://dev.azure.com/<organization>/<project>/_git/<repository>",
		gitHosts: []string{"dev.azure.com", ".visualstudio.com"},
		meanings: []meaning{
			{code: "AADSTS70021", words: "Azure finds no federated credential that fits the token (AADSTS70021); add one to the identity with the " +
				"issuer of this cluster, the subject {subject} and the audience api://AzureADTokenExchange"},
			{code: "AADSTS70025", words: "the identity has no federated credential (AADSTS70025); add one with the issuer of this cluster, " +
				"the subject {subject} and the audience api://AzureADTokenExchange"},
			{code: "AADSTS700016", words: "the tenant has no identity with this client ID (AADSTS700016); correct the annotation " +
				"azure.workload.identity/client-id"},
			{code: "AADSTS90002", words: "Azure knows no such tenant (AADSTS90002); correct the annotation azure.workload.identity/tenant-id"},
			{code: "AADSTS900023", words: "Azure knows no such tenant (AADSTS900023); correct the annotation azure.workload.identity/tenant-id"},
			{code: "AADSTS700024", words: "Azure says that the token is not valid at this time (AADSTS700024); is the clock of this node right?"},
			{host: ".azurecr.", status: http.StatusUnauthorized, words: "the registry does not take the identity's token; grant it AcrPull there"},
			{host: ".azurecr.", status: http.StatusForbidden, words: "the registry does not let the identity in; grant it AcrPull there, and this " +
				"cluster a way through the registry's firewall"},
			{host: metadataHost, status: http.StatusBadRequest, words: "the node has no managed identity, or several: set AZURE_CLIENT_ID " +
				"for source-controller, or set up workload identity"},
		},
	}
}

// azureCalls is what the library asks Azure, on a connection.
type azureCalls struct {
	azureauth.Implementation // what is not asked here: clusters, and the command line's login

	w *witness
}

func (c azureCalls) options() azcore.ClientOptions {
	return azcore.ClientOptions{Transport: c.w.client(), Retry: policy.RetryOptions{MaxRetries: maxAttempts - 1}}
}

// NewDefaultAzureCredentialWithoutShellOut finds this controller's own credentials: a client secret or certificate, a file with a
// token to exchange, or those of the node. It is the library's choice and order.
func (c azureCalls) NewDefaultAzureCredentialWithoutShellOut(*azidentity.DefaultAzureCredentialOptions) (azcore.TokenCredential, error) {
	if found, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: c.options()}); err == nil {
		return found, nil
	}
	if found, err := azidentity.NewWorkloadIdentityCredential(
		&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: c.options()}); err == nil {
		return found, nil
	}
	node := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: c.options()}
	if id := os.Getenv("AZURE_CLIENT_ID"); id != "" {
		node.ID = azidentity.ClientID(id)
	}
	return azidentity.NewManagedIdentityCredential(node)
}

// NewClientAssertionCredential exchanges a ServiceAccount's token.
func (c azureCalls) NewClientAssertionCredential(
	tenant, client string, assertion func(context.Context) (string, error), _ *azidentity.ClientAssertionCredentialOptions,
) (azcore.TokenCredential, error) {
	return azidentity.NewClientAssertionCredential(tenant, client, assertion,
		&azidentity.ClientAssertionCredentialOptions{ClientOptions: c.options()})
}

// ExchangeAADAccessTokenForACRRefreshToken gets a login to a registry.
func (c azureCalls) ExchangeAADAccessTokenForACRRefreshToken(
	ctx context.Context, _ *azcontainerregistry.AuthenticationClient, grant azcontainerregistry.PostContentSchemaGrantType,
	registry string, options *azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenOptions,
) (azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenResponse, error) {
	client, err := azcontainerregistry.NewAuthenticationClient("https://"+registry,
		&azcontainerregistry.AuthenticationClientOptions{ClientOptions: c.options()})
	if err != nil {
		return azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenResponse{}, err
	}
	return client.ExchangeAADAccessTokenForACRRefreshToken(ctx, grant, registry, options)
}
