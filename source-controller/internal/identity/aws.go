package identity

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	awsauth "github.com/fluxcd/pkg/auth/aws"
)

// errConfiguration is for the user.
var errConfiguration = errors.New("its environment variables or files for AWS cannot be used; AWS_CA_BUNDLE is not served, SSL_CERT_FILE is")

func amazonWebServices() cloud {
	return cloud{
		name: awsauth.ProviderName, title: "AWS",
		bind:      func(w *witness) provider { return awsauth.Provider{Implementation: awsCalls{w: w}} },
		federated: "AWS_WEB_IDENTITY_TOKEN_FILE",
		annotations: "its annotation eks.amazonaws.com/role-arn is missing, or is not the ARN of an IAM role; " +
			"write arn:aws:iam::<account>:role/<role>",
		nothing: "there are no credentials in its environment, and none of the node; set up IAM Roles for Service Accounts or EKS Pod " +
			"Identity for source-controller and replace its Pod, or name a ServiceAccount in " + accountField,
		registry: "<account>.dkr.ecr.<region>.amazonaws.com or public.ecr.aws",
		git:      "https://git-codecommit.<region>.amazonaws.com/v1/repos/<repository>",
		meanings: []meaning{
			{code: "InvalidIdentityToken", words: "AWS does not know who issued the token; create an IAM OIDC identity provider for the issuer of " +
				"this cluster, with the audience sts.amazonaws.com"},
			{code: "IDPCommunicationError", words: "AWS cannot get the keys of this cluster's issuer; make them public where the IAM OIDC " +
				"identity provider says"},
			{code: "ExpiredToken", words: "AWS says that the token is expired; is the clock of this node right?"},
			{code: "RequestExpired", words: "AWS says that the request is expired; is the clock of this node right?"},
			{code: "SignatureDoesNotMatch", words: "AWS says that the signature is not right; are the key, and the clock of this node?"},
			{code: "RegionDisabled", words: "AWS STS is not active in this region; activate it in the account's settings, or use another"},
			{code: "AccessDenied", host: "sts", words: "AWS does not let it have the role; allow sts:AssumeRoleWithWebIdentity in the role's trust " +
				"policy for the subject {subject} with the audience sts.amazonaws.com"},
			{code: "AccessDenied", host: "ecr", words: "AWS gives it no login to registries; allow the role ecr:GetAuthorizationToken " +
				"(ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken for public.ecr.aws)"},
			{status: http.StatusForbidden, words: "AWS refuses it"},
		},
	}
}

// awsCalls is what the library asks AWS, on a connection.
type awsCalls struct {
	awsauth.Implementation // what is not asked here: clusters

	w *witness
}

// LoadDefaultConfig finds this controller's own credentials.
func (c awsCalls) LoadDefaultConfig(ctx context.Context, options ...func(*config.LoadOptions) error) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		append(options, config.WithHTTPClient(c.w.client()), config.WithRetryMaxAttempts(maxAttempts))...)
	if err != nil {
		return cfg, errConfiguration // its words may have anything of a file in them
	}
	return cfg, nil
}

// AssumeRoleWithWebIdentity exchanges a ServiceAccount's token.
func (c awsCalls) AssumeRoleWithWebIdentity(
	ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput, options sts.Options,
) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	options.HTTPClient, options.RetryMaxAttempts = c.w.client(), maxAttempts
	return sts.New(options).AssumeRoleWithWebIdentity(ctx, in)
}

// GetAuthorizationToken gets a login to private registries.
func (c awsCalls) GetAuthorizationToken(ctx context.Context, cfg aws.Config) (any, error) {
	cfg.HTTPClient, cfg.RetryMaxAttempts = c.w.client(), maxAttempts
	return ecr.NewFromConfig(cfg).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
}

// GetPublicAuthorizationToken gets a login to the public one.
func (c awsCalls) GetPublicAuthorizationToken(ctx context.Context, cfg aws.Config) (any, error) {
	cfg.HTTPClient, cfg.RetryMaxAttempts = c.w.client(), maxAttempts
	return ecrpublic.NewFromConfig(cfg).GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
}
