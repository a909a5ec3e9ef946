package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	storage "google.golang.org/api/storage/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
)

// Login is who asks. It prints as where it comes from.
type Login struct {
	// From names where the login comes from, such as "the Secret of spec.secretRef".
	From string
	// Key is the JSON of a service account's key; nil for none.
	Key []byte
	// Cloud gives out tokens, if there is no key.
	Cloud oauth2.TokenSource
}

// ParseKey reads serviceaccount. Other kinds of Google's credential files, which name files and commands, are refused.
func ParseKey(data map[string][]byte) ([]byte, error) {
	key := data["serviceaccount"]
	if len(key) == 0 {
		return nil, errors.New("it must have serviceaccount, the JSON of a service account's key")
	}
	var file struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(key, &file) != nil || file.Type != "service_account" {
		return nil, errors.New(`serviceaccount is not the JSON of a service account's key, whose "type" is "service_account"`)
	}
	if _, err := google.JWTConfigFromJSON(key, storage.DevstorageReadOnlyScope); err != nil {
		return nil, errors.New("serviceaccount is not the JSON of a service account's key")
	}
	return key, nil
}

// TokenHost is where a key is exchanged for tokens.
func TokenHost(key []byte) string {
	config, err := google.JWTConfigFromJSON(key)
	if err != nil {
		return ""
	}
	return bucket.HostOf(config.TokenURL)
}

// String keeps keys out of whatever prints a login.
func (l Login) String() string { return l.From }

// GoString keeps keys out of whatever prints a login.
func (l Login) GoString() string { return l.From }

func (l Login) id() string { return bucket.KeyOf("gcs", string(l.Key)) }

func (l Login) forget(kept *bucket.Kept) { kept.Drop(l.id()) }

// early is how long before its end a token is not used any more: an attempt takes a while.
const early = 2 * time.Minute

func (l Login) token(ctx context.Context, through *bucket.Transport, kept *bucket.Kept) (string, error) {
	if l.Key == nil {
		token, err := l.Cloud.Token()
		if err != nil {
			return "", err
		}
		return token.AccessToken, nil
	}
	if held, ok := bucket.Find[*oauth2.Token](kept, l.id()); ok && time.Until(held.Expiry) > early {
		return held.AccessToken, nil
	}
	config, err := google.JWTConfigFromJSON(l.Key, storage.DevstorageReadOnlyScope)
	if err != nil {
		return "", fmt.Errorf("%w: serviceaccount in %s is no key", bucket.ErrRefused, l)
	}
	client, exchange := through.Client(ctx)
	token, err := config.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, client)).Token()
	if err != nil {
		return "", l.explain(through, exchange, err)
	}
	kept.Put(l.id(), token)
	return token.AccessToken, nil
}

func (l Login) explain(through *bucket.Transport, e *bucket.Exchange, err error) error {
	if known := through.Explain(e, err); known != nil {
		return known
	}
	if e.Status >= 400 {
		return fmt.Errorf("%w: %s does not take the key in %s, and answers with the HTTP status %d; it may be deleted or disabled: create another",
			bucket.ErrRefused, through.Peer.Host, l, e.Status)
	}
	if e.Status == 0 {
		return fmt.Errorf("%w: private_key of serviceaccount in %s is no RSA key in PEM", bucket.ErrRefused, l)
	}
	return fmt.Errorf("%s does not answer with a token; check token_uri of serviceaccount in %s", through.Peer.Host, l)
}
