package provider

import (
	"net/url"
	"strings"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"golang.org/x/net/http/httpguts"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

// Limits of what a Secret may configure.
const (
	maxHeaders     = 32
	maxHeaderBytes = 8 << 10
)

// Secrets are the data of the Secrets a Provider names; nil for one it does not name.
type Secrets struct {
	// Auth is spec.secretRef's: address, token, username, headers.
	Auth map[string][]byte
	// TLS is spec.certSecretRef's: ca.crt, tls.crt, tls.key.
	TLS map[string][]byte
}

// Build makes the provider that spec describes; an *InvalidError says what the user has to change. Values from Secrets
// override those in the spec.
func Build(spec notificationv1beta3.ProviderSpec, secrets Secrets) (Provider, error) {
	if problem := plan.Unserved(spec); problem != "" {
		return nil, invalid("%s", problem)
	}
	client, err := newClient(secrets.TLS)
	if err != nil {
		return nil, err
	}
	settings, err := settingsOf(spec, secrets.Auth)
	if err != nil {
		return nil, err
	}
	switch spec.Type {
	case notificationv1beta3.SlackProvider:
		return newSlack(client, settings)
	case notificationv1beta3.PagerDutyProvider:
		return newPagerDuty(client, settings)
	default:
		return newGeneric(client, settings, spec.Type == notificationv1beta3.GenericHMACProvider)
	}
}

// settings are a Provider's, Secret applied. All but channel and username may be credentials.
type settings struct {
	address           string
	channel, username string
	token             string
	headers           map[string]string
}

func settingsOf(spec notificationv1beta3.ProviderSpec, auth map[string][]byte) (settings, error) {
	out := settings{
		address:  strings.TrimSpace(spec.Address),
		channel:  strings.TrimSpace(spec.Channel),
		username: spec.Username,
		token:    trimmed(auth, "token"),
	}
	if address := trimmed(auth, "address"); address != "" {
		out.address = address
	}
	if username := trimmed(auth, "username"); username != "" {
		out.username = username
	}
	if _, set := auth["proxy"]; set {
		return out, invalid("the Secret of spec.secretRef has the key proxy, which is not served; remove it")
	}
	raw := auth["headers"]
	if len(raw) > maxHeaderBytes {
		return out, invalid("the key headers in the Secret of spec.secretRef has %d bytes, at most %d are allowed", len(raw), maxHeaderBytes)
	}
	if err := yaml.Unmarshal(raw, &out.headers); err != nil {
		return out, invalid("the key headers in the Secret of spec.secretRef is not a YAML map of strings")
	}
	if len(out.headers) > maxHeaders {
		return out, invalid("the key headers in the Secret of spec.secretRef has %d entries, at most %d are allowed", len(out.headers), maxHeaders)
	}
	return out, out.legal()
}

// legal refuses at once what HTTP would refuse at each send, where it looks like a target that cannot be reached.
func (s settings) legal() error {
	if !httpguts.ValidHeaderFieldValue(s.token) {
		return invalid("the key token in the Secret of spec.secretRef has a line break or another control character")
	}
	for name, value := range s.headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return invalid("the key headers in the Secret of spec.secretRef has an entry that HTTP does not allow: a name is letters, digits and '-', a value one line")
		}
	}
	return nil
}

func trimmed(data map[string][]byte, key string) string { return strings.TrimSpace(string(data[key])) }

// endpoint parses an address without ever repeating it.
func endpoint(address string) (*url.URL, error) {
	if address == "" {
		return nil, invalid("no address: set spec.address, or the key address in the Secret of spec.secretRef")
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" {
		return nil, invalid("the address is not an http or https URL (it is not shown, because it may be a credential)")
	}
	return parsed, nil
}
