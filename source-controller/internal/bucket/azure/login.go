package azure

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
)

// Login is who asks. It prints as where it comes from.
type Login struct {
	// From names where the login comes from, such as "the Secret of spec.secretRef".
	From string
	// AccountKey is one of the account's two keys.
	AccountKey string
	// SAS is a signature that is sent in addresses.
	SAS url.Values
	// Principal is an application with a secret or a certificate.
	Principal *Principal
	// Managed is the client id of an identity of this node's.
	Managed string
	// Cloud gives out tokens, if there is nothing else.
	Cloud azcore.TokenCredential
}

// Principal is an application of a tenant's.
type Principal struct {
	Tenant, Client string
	Secret         string
	// Certificate is PEM or PKCS#12, with Password if it is encrypted.
	Certificate, Password []byte
	SendChain             bool
	// Authority is where tokens are, if that is not the public cloud's.
	Authority string
}

// ParseLogin reads what Flux defines for a Secret: tenantId, clientId and clientSecret or clientCertificate
// (clientCertificatePassword, clientCertificateSendChain); clientId alone; accountKey; sasKey. authorityHost says where
// tokens are. What comes first in this list wins.
func ParseLogin(data map[string][]byte) (Login, error) {
	text := func(key string) string { return strings.TrimSpace(string(data[key])) }
	tenant, client := text("tenantId"), text("clientId")
	chain := strings.ToLower(text("clientCertificateSendChain"))
	p := Principal{
		Tenant: tenant, Client: client, Secret: string(data["clientSecret"]),
		Certificate: data["clientCertificate"], Password: data["clientCertificatePassword"],
		SendChain: chain == "1" || chain == "true", Authority: text("authorityHost"),
	}
	switch {
	case tenant != "" && client != "" && (p.Secret != "" || len(p.Certificate) > 0):
		return Login{Principal: &p}, nil
	case client != "":
		return Login{Managed: client}, nil
	case text("accountKey") != "":
		return Login{AccountKey: text("accountKey")}, nil
	case text("sasKey") != "":
		signature, err := url.ParseQuery(strings.TrimPrefix(text("sasKey"), "?"))
		if err != nil || signature.Get("sig") == "" {
			return Login{}, errors.New("sasKey is not a shared access signature, such as sv=…&sig=…")
		}
		return Login{SAS: signature}, nil
	case p.Authority != "":
		return Login{}, nil
	}
	return Login{}, errors.New(
		"it must have tenantId, clientId and clientSecret or clientCertificate; or clientId alone; or accountKey; or sasKey")
}

// Own is set when the Secret itself holds who asks, rather than naming an identity of this controller or its node.
func (l Login) Own() bool { return l.AccountKey != "" || l.SAS != nil || l.Principal != nil }

// IsZero is set when there is nobody yet to ask.
func (l Login) IsZero() bool { return !l.Own() && l.Managed == "" && l.Cloud == nil }

// String keeps keys out of whatever prints a login.
func (l Login) String() string { return l.From }

// GoString keeps keys out of whatever prints a login.
func (l Login) GoString() string { return l.From }

// TokenHost is where an application gets its tokens.
func (l Login) TokenHost() string {
	if l.Principal == nil || l.Principal.Authority == "" {
		return bucket.HostOf(cloud.AzurePublic.ActiveDirectoryAuthorityHost)
	}
	return bucket.HostOf(l.Principal.Authority)
}

func (l Login) id() string {
	if p := l.Principal; p != nil {
		return bucket.KeyOf("azure", p.Authority, p.Tenant, p.Client, p.Secret, string(p.Certificate), string(p.Password))
	}
	return bucket.KeyOf("azure", l.Managed)
}

func (l Login) forget(kept *bucket.Kept) { kept.Drop(l.id()) }

const (
	scope = "https://storage.azure.com/.default"
	// early is how long before its end a token is not used any more: an attempt takes a while.
	early = 2 * time.Minute
)

// token returns a token for the storage: one that is kept, or a new one.
func (l Login) token(ctx context.Context, through *bucket.Transport, kept *bucket.Kept) (azcore.AccessToken, error) {
	wanted := policy.TokenRequestOptions{Scopes: []string{scope}}
	if l.Cloud != nil {
		return l.Cloud.GetToken(ctx, wanted)
	}
	if held, ok := bucket.Find[azcore.AccessToken](kept, l.id()); ok && time.Until(held.ExpiresOn) > early {
		return held, nil
	}
	credential, err := l.credential(through)
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("%w: %w", bucket.ErrRefused, err)
	}
	ctx, exchange := bucket.Begin(ctx, 0)
	token, err := credential.GetToken(ctx, wanted)
	if err != nil {
		return token, l.explain(through, exchange, err)
	}
	kept.Put(l.id(), token)
	return token, nil
}

func (l Login) credential(through *bucket.Transport) (azcore.TokenCredential, error) {
	options := once(through)
	p := l.Principal
	if p == nil {
		return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
			ClientOptions: options, ID: azidentity.ClientID(l.Managed),
		})
	}
	if p.Authority != "" {
		options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: p.Authority}
	}
	var credential azcore.TokenCredential
	var err error
	// Whether an authority that the Secret names is one of Microsoft's is not for Microsoft to say.
	if p.Secret != "" {
		credential, err = azidentity.NewClientSecretCredential(p.Tenant, p.Client, p.Secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: p.Authority != ""})
	} else {
		credential, err = p.certificate(options)
	}
	if err != nil {
		return nil, fmt.Errorf("tenantId, clientId or authorityHost in %s is not what it should be", l)
	}
	return credential, nil
}

func (p *Principal) certificate(options policy.ClientOptions) (azcore.TokenCredential, error) {
	chain, key, err := azidentity.ParseCertificates(p.Certificate, p.Password)
	if err != nil {
		return nil, err
	}
	return azidentity.NewClientCertificateCredential(p.Tenant, p.Client, chain, key, &azidentity.ClientCertificateCredentialOptions{
		ClientOptions: options, SendCertificateChain: p.SendChain, DisableInstanceDiscovery: p.Authority != "",
	})
}

func (l Login) explain(through *bucket.Transport, e *bucket.Exchange, err error) error {
	if l.Managed != "" {
		return fmt.Errorf("%w: this node has no managed identity with the clientId in %s, or gives no token for it", bucket.ErrRefused, l)
	}
	if known := through.Explain(e, err); known != nil {
		return known
	}
	if e.Status >= 400 {
		return fmt.Errorf("%w: %s gives no token to the application in %s, and answers with the HTTP status %d; its secret or certificate may have expired",
			bucket.ErrRefused, through.Peer.Host, l, e.Status)
	}
	return fmt.Errorf("%s does not answer with a token; check tenantId and authorityHost in %s", through.Peer.Host, l)
}

// fixed is the token of one attempt.
type fixed azcore.AccessToken

// GetToken implements [azcore.TokenCredential].
func (f fixed) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken(f), nil
}
