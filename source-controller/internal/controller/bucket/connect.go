package bucket

import (
	"context"
	"errors"
	"net/url"

	"github.com/fluxcd/pkg/apis/meta"
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

// How the spec names the Secrets, and messages where a login comes from.
const (
	loginRef    = "spec.secretRef"
	trustRef    = "spec.certSecretRef"
	proxyRef    = "spec.proxySecretRef"
	stsRef      = "spec.sts.secretRef"
	stsTrustRef = "spec.sts.certSecretRef"

	fromSecret  = "the Secret of " + loginRef
	fromAccount = "the ServiceAccount of spec.serviceAccountName"
	fromHere    = "this controller's identity"
)

// connection is how one attempt reaches a bucket.
type connection struct {
	service bucket.Service
	// storage carries the requests to the storage; transports are all, and ends what to call when they are over.
	storage    *bucket.Transport
	transports []*bucket.Transport
	ends       []func()
}

func (c *connection) close() {
	if c == nil {
		return
	}
	for _, end := range c.ends {
		end()
	}
}

// received is how many bytes storage and token services have sent until now.
func (c *connection) received() (sum int64) {
	if c == nil {
		return 0
	}
	for _, t := range c.transports {
		sum += t.Received()
	}
	return sum
}

// dial adds a way to a host.
func (c *connection) dial(to Connections, peer wire.Peer) *bucket.Transport {
	next, done := to.Transport(peer)
	t := &bucket.Transport{Next: next, Peer: peer}
	c.transports, c.ends = append(c.transports, t), append(c.ends, done)
	return t
}

// connector puts a connection together.
type connector struct {
	*Reconciler

	obj      *sourcev1.Bucket
	endpoint *url.URL
	// data is that of spec.secretRef; nil if there is none.
	data  map[string][]byte
	proxy secret.Proxy
	made  *connection
}

// connect finds out who asks whom. Only tokens that are not there yet are asked for.
func (r *Reconciler) connect(ctx context.Context, obj *sourcev1.Bucket) (*connection, *plan.Problem) {
	c := &connector{Reconciler: r, obj: obj, made: &connection{}}
	if p := c.read(ctx); p != nil {
		return c.made, p
	}
	var p *plan.Problem
	switch plan.BucketProvider(obj.Spec) {
	case sourcev1.BucketProviderGoogle:
		p = c.google(ctx)
	case sourcev1.BucketProviderAzure:
		p = c.azure(ctx)
	default:
		p = c.s3(ctx)
	}
	return c.made, p
}

// read reads what all services have in common.
func (c *connector) read(ctx context.Context) (p *plan.Problem) {
	spec := c.obj.Spec
	if c.endpoint, p = plan.BucketEndpoint(spec); p != nil {
		return p
	}
	if c.data, p = c.optional(ctx, spec.SecretRef, loginRef); p != nil {
		return p
	}
	if data, p := c.optional(ctx, spec.ProxySecretRef, proxyRef); p != nil {
		return p
	} else if data != nil {
		var err error
		if c.proxy, err = secret.ParseProxy(data); err != nil {
			return secret.Unusable(c.obj.Namespace, spec.ProxySecretRef.Name, proxyRef, err)
		}
	}
	trust, p := c.trust(ctx, spec.CertSecretRef, trustRef)
	if p != nil {
		return p
	}
	c.made.storage = c.made.dial(c.Connections, wire.Peer{Host: c.endpoint.Host, TLS: trust, TLSField: trustRef, Proxy: c.proxy})
	return nil
}

// optional is what a Secret holds; nil if none is named.
func (c *connector) optional(ctx context.Context, ref *meta.LocalObjectReference, field string) (map[string][]byte, *plan.Problem) {
	if ref == nil {
		return nil, nil
	}
	data, p := c.Secrets.Data(ctx, c.obj.Namespace, ref.Name, field)
	if p == nil && data == nil {
		data = map[string][]byte{}
	}
	return data, p
}

func (c *connector) trust(ctx context.Context, ref *meta.LocalObjectReference, field string) (secret.TLS, *plan.Problem) {
	data, p := c.optional(ctx, ref, field)
	if p != nil || data == nil {
		return secret.TLS{}, p
	}
	trust, err := secret.ParseTLS(data)
	if err == nil && trust.IsZero() {
		err = errors.New("it has neither ca.crt nor tls.crt and tls.key")
	}
	if err != nil {
		return trust, secret.Unusable(c.obj.Namespace, ref.Name, field, err)
	}
	return trust, nil
}

// unusable is the problem with the Secret of spec.secretRef.
func (c *connector) unusable(err error) *plan.Problem {
	return secret.Unusable(c.obj.Namespace, c.obj.Spec.SecretRef.Name, loginRef, err)
}

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

// problem is what the user reads about a connection that does not come about.
func (c *connector) problem(err error) *plan.Problem {
	if err == nil {
		return nil
	}
	return fetchProblem(c.obj, sourcev1.AuthenticationFailedReason, err)
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

// tokens is the way to where tokens are, with the object's authority and proxy.
func (c *connector) tokens(host string) *bucket.Transport {
	peer := c.made.storage.Peer
	peer.Host = host
	return c.made.dial(c.Connections, peer)
}

// node is the way to the metadata service of this node.
func (c *connector) node() *bucket.Transport {
	return c.made.dial(c.Connections, wire.Peer{Host: "the metadata service of this node"})
}
