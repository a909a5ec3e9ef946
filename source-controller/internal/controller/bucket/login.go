package bucket

import (
	"context"
	"errors"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket/azure"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket/gcs"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket/s3"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// subject is who a cloud's token is for.
func (c *connector) subject() identity.Subject {
	s := identity.Subject{
		Kind: sourcev1.BucketKind, Namespace: c.obj.Namespace, Name: c.obj.Name,
		ServiceAccount: c.obj.Spec.ServiceAccountName, Proxy: c.proxy.URL,
	}
	if sts := c.obj.Spec.STS; sts != nil {
		s.STSEndpoint = sts.Endpoint
	}
	return s
}

// cloud names the identity that a cloud's token is for.
func (c *connector) cloud() string {
	if c.obj.Spec.ServiceAccountName != "" {
		return fromAccount
	}
	return fromHere
}

// s3 prepares a bucket of Amazon's or of anything that speaks its API. The provider generic has nobody's identity but that
// which Secrets hold.
func (c *connector) s3(ctx context.Context) *plan.Problem {
	spec := c.obj.Spec
	var login s3.Login
	var err error
	switch {
	case c.data != nil:
		login = s3.Login{From: fromSecret, Hint: secret.PaddingOf(c.data, "accesskey", "secretkey").Hint(loginRef)}
		if login.AccessKey, login.SecretKey, err = s3.ParseKeys(c.data); err != nil {
			return c.unusable(err)
		}
	case plan.BucketProvider(spec) == sourcev1.BucketProviderAmazon:
		login = s3.Login{From: c.cloud()}
		if login.Cloud, err = c.Clouds.AWS(ctx, c.subject(), spec.Region); err != nil {
			return c.problem(err)
		}
	case spec.STS != nil:
		ldap, p := c.ldap(ctx, spec.STS)
		if p != nil {
			return p
		}
		login = s3.Login{From: "the keys that spec.sts gives out", LDAP: ldap}
	}
	service, err := s3.Open(ctx, s3.Options{
		Endpoint: c.endpoint.Host, Bucket: spec.BucketName, Region: spec.Region, Insecure: spec.Insecure,
		Login: login, Transport: c.made.storage, Kept: c.Kept,
	})
	c.made.service = service
	return c.problem(err)
}

func (c *connector) ldap(ctx context.Context, sts *sourcev1.BucketSTSSpec) (*s3.LDAP, *plan.Problem) {
	data, p := c.optional(ctx, sts.SecretRef, stsRef)
	if p != nil {
		return nil, p
	}
	trust, p := c.trust(ctx, sts.CertSecretRef, stsTrustRef)
	if p != nil {
		return nil, p
	}
	ldap := &s3.LDAP{
		Endpoint: sts.Endpoint, Username: string(data["username"]), Password: string(data["password"]),
		Hint: secret.PaddingOf(data, "username", "password").Hint(stsRef),
		Transport: c.made.dial(c.Connections, wire.Peer{
			Host: bucket.HostOf(sts.Endpoint), TLS: trust, TLSField: stsTrustRef, Proxy: c.proxy,
		}),
	}
	switch {
	case data == nil:
		p = plan.FetchProblem(sourcev1.AuthenticationFailedReason,
			"%s: ldap gives keys to those with a user name and a password; name a Secret with username and password", stsRef)
		p.Terminal = true
		return nil, p
	case ldap.Username == "" || ldap.Password == "":
		return nil, secret.Unusable(c.obj.Namespace, sts.SecretRef.Name, stsRef, errors.New("it must have username and password"))
	}
	return ldap, nil
}

// google prepares a bucket of Google Cloud Storage.
func (c *connector) google(ctx context.Context) *plan.Problem {
	var login gcs.Login
	var err error
	if c.data != nil {
		login.From = fromSecret
		if login.Key, err = gcs.ParseKey(c.data); err != nil {
			return c.unusable(err)
		}
	} else {
		if p := c.mayHaveToken(); p != nil {
			return p
		}
		login.From = c.cloud()
		if login.Cloud, err = c.Clouds.GCP(ctx, c.subject()); err != nil {
			return c.problem(err)
		}
	}
	service, err := gcs.Open(ctx, gcs.Options{
		Base: c.endpoint.Scheme + "://" + c.endpoint.Host, Bucket: c.obj.Spec.BucketName, Login: login,
		Transport: c.made.storage, Tokens: c.tokens(gcs.TokenHost(login.Key)), Kept: c.Kept,
	})
	c.made.service = service
	return c.problem(err)
}

// azure prepares a container of Azure Blob Storage.
func (c *connector) azure(ctx context.Context) *plan.Problem {
	var login azure.Login
	var err error
	if c.data != nil {
		if login, err = azure.ParseLogin(c.data); err != nil {
			return c.unusable(err)
		}
		login.From = fromSecret
	}
	if !login.Own() {
		if p := c.mayHaveToken(); p != nil {
			return p
		}
	}
	if login.IsZero() {
		login.From = c.cloud()
		if login.Cloud, err = c.Clouds.Azure(ctx, c.subject()); err != nil {
			return c.problem(err)
		}
	}
	tokens := c.tokens(login.TokenHost())
	if login.Managed != "" {
		tokens = c.node()
	}
	service, err := azure.Open(ctx, azure.Options{
		Endpoint: c.endpoint, Container: c.obj.Spec.BucketName, Login: login,
		Transport: c.made.storage, Tokens: tokens, Kept: c.Kept,
	})
	c.made.service = service
	return c.problem(err)
}

// mayHaveToken keeps tokens of this controller's from hosts that anybody may name; a ServiceAccount's are its namespace's own.
func (c *connector) mayHaveToken() *plan.Problem {
	if c.obj.Spec.ServiceAccountName != "" {
		return nil
	}
	return plan.MayHaveToken(plan.BucketProvider(c.obj.Spec), c.endpoint)
}
