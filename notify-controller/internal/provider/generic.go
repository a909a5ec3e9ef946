package provider

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"

	"github.com/sluice-gitops/sluice/api/event"
)

// generic posts the event's JSON, as Flux does for the types generic and generic-hmac. The header Gotk-Component names
// the reporting controller; with a key, X-Signature is the body's HMAC.
type generic struct {
	client  *client
	address string
	headers map[string]string
	key     []byte
}

func newGeneric(client *client, s settings, signed bool) (Provider, error) {
	address, err := endpoint(s.address)
	if err != nil {
		return nil, err
	}
	out := &generic{client: client, address: address.String(), headers: maps.Clone(s.headers)}
	if out.headers == nil {
		out.headers = map[string]string{}
	}
	if signed {
		if s.token == "" {
			return nil, invalid("type generic-hmac needs the key token in the Secret of spec.secretRef")
		}
		out.key = []byte(s.token)
	}
	return out, nil
}

func (g *generic) Send(ctx context.Context, notification event.Event) error {
	body, err := json.Marshal(notification)
	if err != nil {
		return &Failure{Reason: "the notification cannot be written as JSON", Permanent: true}
	}
	headers := maps.Clone(g.headers)
	headers["Gotk-Component"] = oneLine(plainText(notification.ReportingController))
	if g.key != nil {
		mac := hmac.New(sha256.New, g.key)
		mac.Write(body)
		headers["X-Signature"] = "sha256=" + hex.EncodeToString(mac.Sum(nil))
	}
	answer, err := g.client.post(ctx, g.address, body, headers)
	if err != nil {
		return err
	}
	return answer.verdict("")
}
