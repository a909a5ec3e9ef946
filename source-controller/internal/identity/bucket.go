package identity

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/fluxcd/pkg/auth"
	awsauth "github.com/fluxcd/pkg/auth/aws"
	azureauth "github.com/fluxcd/pkg/auth/azure"
	gcpauth "github.com/fluxcd/pkg/auth/gcp"
	"golang.org/x/oauth2"
)

// What follows is for the clients of buckets, which ask for tokens while they work. The first one is got at once, so that what
// is wrong is said in our words; a later error is a [plan.Problem] in what the client makes of it.

// AWS returns credentials for a region; an empty one is that of the environment, if the token is this controller's own.
func (i *Issuer) AWS(ctx context.Context, s Subject, region string) (aws.CredentialsProvider, error) {
	if s.STSEndpoint != "" && awsauth.ValidateSTSEndpoint(s.STSEndpoint) != nil {
		return nil, refused("spec.sts.endpoint: not one of AWS STS; write it as https://sts.<region>.amazonaws.com")
	}
	named := s.ServiceAccount != "" || i.options.DefaultServiceAccount != ""
	if region == "" && (named || i.getenv("AWS_REGION") == "") {
		return nil, refused("spec.region: AWS gives credentials for a region alone; set it")
	}
	var needs []auth.Option
	if region != "" {
		needs = append(needs, auth.WithSTSRegion(region))
	}
	credentials := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		return tokenOf(ctx, i, amazonWebServices(), s, awsCredentials, needs...)
	}))
	_, err := credentials.Retrieve(ctx)
	return credentials, err
}

func awsCredentials(t *awsauth.Credentials) aws.Credentials {
	return aws.Credentials{
		AccessKeyID: aws.ToString(t.AccessKeyId), SecretAccessKey: aws.ToString(t.SecretAccessKey),
		SessionToken: aws.ToString(t.SessionToken),
		Expires:      aws.ToTime(t.Expiration), CanExpire: !aws.ToTime(t.Expiration).IsZero(),
	}
}

// GCP returns a source of tokens, which is done when the context is.
func (i *Issuer) GCP(ctx context.Context, s Subject) (oauth2.TokenSource, error) {
	source := tokenSource(func() (*oauth2.Token, error) {
		return tokenOf(ctx, i, google(), s, func(t *gcpauth.Token) *oauth2.Token { return &t.Token })
	})
	first, err := source.Token()
	if err != nil {
		return nil, err
	}
	return oauth2.ReuseTokenSource(first, source), nil
}

type tokenSource func() (*oauth2.Token, error)

// Token is a new token.
func (f tokenSource) Token() (*oauth2.Token, error) { return f() }

// Azure returns what gets tokens.
func (i *Issuer) Azure(ctx context.Context, s Subject) (azcore.TokenCredential, error) {
	credential := tokenCredential(func(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
		return tokenOf(ctx, i, azure(), s, func(t *azureauth.Token) azcore.AccessToken { return t.AccessToken }, auth.WithScopes(o.Scopes...))
	})
	_, err := credential(ctx, policy.TokenRequestOptions{Scopes: []string{azureauth.ScopeBlobStorage}})
	return credential, err
}

type tokenCredential func(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error)

// GetToken is a token for the scopes.
func (f tokenCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return f(ctx, o)
}

// tokenOf is an access token as its cloud's own clients want it.
func tokenOf[T auth.Token, As any](ctx context.Context, i *Issuer, c cloud, s Subject, as func(T) As, needs ...auth.Option) (As, error) {
	var none As
	a, err := i.access(ctx, c, s, needs...)
	if err != nil {
		return none, err
	}
	token, err := a.token(ctx)
	if err != nil {
		return none, err
	}
	its, ok := token.(T)
	if !ok {
		return none, fmt.Errorf("%T is no token of %s", token, c.title)
	}
	return as(its), nil
}
