package identity

import (
	"net/url"
	"os"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/auth"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// GateObjectLevel is the name of the feature gate that lets objects name a ServiceAccount.
const GateObjectLevel = auth.FeatureGateObjectLevelWorkloadIdentity

// Options of an [Issuer].
type Options struct {
	// Client asks the API server for tokens of ServiceAccounts, and Live reads them, uncached: one that is deleted or changed
	// counts at once.
	Client client.Client
	Live   client.Reader
	// ObjectLevel lets objects name a ServiceAccount; DefaultServiceAccount is the one of those that name none.
	ObjectLevel           bool
	DefaultServiceAccount string
	// CacheSize is how many tokens are kept, CacheTTL how long each at most; none are where one of them is 0.
	CacheSize int
	CacheTTL  time.Duration
	// Clock is time.Now if it is nil.
	Clock func() time.Time
}

// Issuer gets tokens. It is safe for concurrent use. Its errors are [plan.Problem]s.
type Issuer struct {
	options  Options
	accounts secret.Reader
	pool     *wire.Pool
	tokens   *tokens
	metrics  collected
	getenv   func(string) string
}

// New returns an issuer that keeps no token yet.
func New(o Options) (*Issuer, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	i := &Issuer{options: o, accounts: secret.Reader{Live: o.Live}, pool: wire.NewPool(), getenv: os.Getenv}
	var err error
	i.tokens, err = newTokens(o, &i.metrics)
	return i, err
}

// Collectors are the metrics, for the caller to register.
func (i *Issuer) Collectors() []prometheus.Collector { return i.metrics }

// Subject is the object that a token is for.
type Subject struct {
	Kind, Namespace, Name string
	// ServiceAccount is its spec.serviceAccountName.
	ServiceAccount string
	// Proxy is what clouds are reached through; nil: what the environment says.
	Proxy *url.URL
	// STSEndpoint is where AWS exchanges tokens, of a Bucket's spec.sts; empty: where it does for the region.
	STSEndpoint string

	fresh bool // those that are kept were refused
}

// Refused says that what an object was given was not taken: it gets new tokens the next time, whatever is kept.
func (i *Issuer) Refused(kind, namespace, name string) {
	i.tokens.refused.Store(object{kind, namespace, name}, true)
}

type object struct{ kind, namespace, name string }

// Forget ends the metrics of an object that is deleted.
func (i *Issuer) Forget(kind, namespace, name string) { i.tokens.forget(kind, namespace, name) }

// refused is the problem with a token that cannot be had.
func refused(format string, args ...any) *plan.Problem {
	return plan.FetchProblem(sourcev1.AuthenticationFailedReason, format, args...)
}

// gateClosed is the problem with a ServiceAccount that is named where objects may name none.
func gateClosed() *plan.Problem {
	p := plan.FetchProblem(meta.FeatureGateDisabledReason,
		"spec.serviceAccountName: objects may not log in as a ServiceAccount here; start source-controller with "+
			"--feature-gates=%s=true, or remove the field", GateObjectLevel)
	p.Terminal = true
	return p
}
