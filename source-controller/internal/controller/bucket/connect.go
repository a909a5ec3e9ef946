package bucket

import (
	"context"
	"errors"
	"net/url"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
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

// problem is what the user reads about a connection that does not come about.
func (c *connector) problem(err error) *plan.Problem {
	if err == nil {
		return nil
	}
	return fetchProblem(c.obj, sourcev1.AuthenticationFailedReason, err)
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
