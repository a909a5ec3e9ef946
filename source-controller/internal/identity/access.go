package identity

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"

	"github.com/fluxcd/pkg/auth"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// The fields that a ServiceAccount is named by.
const (
	accountField = "spec.serviceAccountName"
	defaultField = "--default-service-account"
)

// access is an access token of a cloud that can be had.
type access struct {
	issuer  *Issuer
	cloud   cloud
	subject Subject
	// account is whose token it is; nil: this controller's own.
	account   *corev1.ServiceAccount
	field     string // what names the account
	audiences []string
	options   []auth.Option
	key       string // what it is kept by
}

// access finds out whose token an object is to have, and what that depends on. The ServiceAccount is read each time, so that
// one that is gone is no longer logged in with, whatever is kept.
func (i *Issuer) access(ctx context.Context, c cloud, s Subject, options ...auth.Option) (*access, error) {
	s.fresh = i.tokens.renew(s)
	a := &access{issuer: i, cloud: c, subject: s, field: accountField}
	name := s.ServiceAccount
	switch {
	case name != "" && !i.options.ObjectLevel:
		return nil, gateClosed()
	case name == "" && i.options.DefaultServiceAccount != "":
		name, a.field = i.options.DefaultServiceAccount, defaultField
	}
	a.options = options
	if s.STSEndpoint != "" {
		a.options = append(a.options, auth.WithSTSEndpoint(s.STSEndpoint))
	}
	if name == "" {
		if !c.exchangesOverTLS(i.getenv) {
			a.subject.Proxy = nil
		}
		a.key = a.keyOf("")
		return a, nil
	}
	account, p := i.accounts.ServiceAccount(ctx, s.Namespace, name, a.field)
	if p != nil {
		return nil, p
	}
	a.account = account
	return a, a.identify(ctx)
}

// identify reads from the ServiceAccount's annotations who it is to the cloud.
func (a *access) identify(ctx context.Context) error {
	p := a.cloud.bind(nil)
	who, err := p.GetIdentity(*a.account)
	if err != nil {
		return refused("%s: %s", a.who(), a.cloud.annotations)
	}
	// GCP asks the metadata server of the node, and does not look at the context while another does.
	a.audiences, err = within(ctx, func() ([]string, error) { return p.GetAudiences(ctx, *a.account) })
	if err != nil {
		return refused("%s: %s", a.who(), a.cloud.audience)
	}
	a.key = a.keyOf(who)
	return nil
}

// keyOf is a name for all that a token depends on.
func (a *access) keyOf(who string) string {
	var o auth.Options
	o.Apply(a.options...)
	parts := []string{a.cloud.name, o.STSRegion, o.STSEndpoint, strings.Join(o.Scopes, " "), proxyText(a.subject.Proxy)}
	if a.account != nil {
		parts = append(parts, a.account.Namespace, a.account.Name, string(a.account.UID), who, strings.Join(a.audiences, " "))
	}
	return key(parts...)
}

func proxyText(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

// key is one name for several texts, of which it shows nothing.
func key(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		sum.Write([]byte(part))
	}
	return string(sum.Sum(nil))
}

// token is the access token, kept or new.
func (a *access) token(ctx context.Context) (auth.Token, error) {
	return a.kept(ctx, a.key, a.fetch)
}

// kept is a token that is kept by a name, or a new one.
func (a *access) kept(ctx context.Context, name string, fetch func(context.Context) (auth.Token, error)) (auth.Token, error) {
	token, err := a.issuer.tokens.get(ctx, a.subject, name, fetch)
	if err != nil && ctx.Err() != nil {
		return nil, refused("%s: %s did not give a token in time", a.who(), a.cloud.title)
	}
	return token, err
}

func (a *access) fetch(ctx context.Context) (auth.Token, error) {
	if a.account == nil {
		return a.call(ctx, a.subject.Proxy, func(p provider) (auth.Token, error) { return p.NewControllerToken(ctx, a.options...) })
	}
	assertion, err := a.assertion(ctx)
	if err != nil {
		return nil, err
	}
	return a.call(ctx, a.subject.Proxy, func(p provider) (auth.Token, error) {
		return p.NewTokenForServiceAccount(ctx, assertion, *a.account, a.options...)
	})
}

// assertion is a token of Kubernetes for the ServiceAccount, which the cloud exchanges for its own.
func (a *access) assertion(ctx context.Context) (string, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: a.audiences}}
	err := a.issuer.options.Client.SubResource("token").Create(ctx, a.account.DeepCopy(), request)
	switch {
	case err == nil:
		return request.Status.Token, nil
	case apierrors.IsForbidden(err):
		return "", refused("%s: source-controller may not create tokens for it; grant it create on serviceaccounts/token "+
			"(the chart does with source.objectLevelIdentity)", a.who())
	}
	return "", refused("%s: the API server gives no token for it: %s", a.who(), plan.Unreadable(err))
}

// call has a cloud asked for a token, and says in words why it gave none.
func (a *access) call(ctx context.Context, proxy *url.URL, ask func(provider) (auth.Token, error)) (token auth.Token, err error) {
	w, done := a.issuer.dial(wire.Peer{Proxy: secret.Proxy{URL: proxy}})
	defer done()
	defer func() {
		// The providers take for granted that an answer has all that is documented.
		if recover() != nil {
			token, err = nil, refused("%s: %s", a.who(), w.incomplete(a.cloud))
		}
	}()
	token, err = ask(a.cloud.bind(w))
	if err != nil {
		return nil, refused("%s: %s", a.who(), w.explain(ctx, a, err))
	}
	return token, nil
}

// who is whose token is asked for, in words.
func (a *access) who() string {
	if a.account == nil {
		return fmt.Sprintf("source-controller's own identity at %s (%s is not set)", a.cloud.title, accountField)
	}
	return fmt.Sprintf("ServiceAccount %s/%s of %s at %s", a.account.Namespace, a.account.Name, a.field, a.cloud.title)
}

// within is the result of a function that does not look at the context itself.
func within[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
