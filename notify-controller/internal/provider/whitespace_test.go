package provider_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

// TestCredentialsWithWhiteSpaceAroundThem: a Secret that was made by echo or from a file has a line end that nobody sees. Around
// an address, a token, a key and a user name it is left out, as in Flux, whose users may rely on it: signatures are made with the
// key without it. No Provider that is served has a password.
func TestCredentialsWithWhiteSpaceAroundThem(t *testing.T) {
	target := newTarget(t, says(200, `{"ok":true}`))
	padded := func(values map[string]string) secret {
		data := secret{}
		for key, value := range values {
			data[key] = []byte(" " + value + "\r\n")
		}
		return data
	}
	for name, tc := range map[string]struct {
		reason string
		spec   spec
		auth   secret
		check  func(r request) bool
	}{
		"Slack's webhook": {
			"the address is the credential", spec{Type: "slack"}, padded(map[string]string{"address": target.URL + "/services/canary"}),
			func(r request) bool { return r.Path == "/services/canary" },
		},
		"Slack's token and user name": {
			"HTTP takes no line end", spec{Type: "slack", Address: target.URL + "/api/chat.postMessage", Channel: "C"},
			padded(map[string]string{"token": "canary", "username": "bot"}),
			func(r request) bool {
				return r.Header["Authorization"] == "Bearer canary" && strings.Contains(string(r.Body), `"username":"bot"`)
			},
		},
		"PagerDuty's key": {
			"a routing key is letters and digits", spec{Type: "pagerduty", Address: target.URL}, padded(map[string]string{"token": "canary"}),
			func(r request) bool { return strings.Contains(string(r.Body), `"routing_key":"canary"`) },
		},
		"PagerDuty's key in the spec": {
			"of a block scalar", spec{Type: "pagerduty", Address: target.URL, Channel: "canary\n"}, nil,
			func(r request) bool { return strings.Contains(string(r.Body), `"routing_key":"canary"`) },
		},
		"key of signatures": {
			"as Flux makes it", spec{Type: "generic-hmac", Address: target.URL + "\n"}, padded(map[string]string{"token": "canary"}),
			func(r request) bool {
				mac := hmac.New(sha256.New, []byte("canary"))
				mac.Write(r.Body)
				return r.Header["X-Signature"] == "sha256="+hex.EncodeToString(mac.Sum(nil))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			target.requests = nil
			if err := build(t, tc.spec, tc.auth).Send(t.Context(), failure()); err != nil {
				t.Fatal(err)
			}
			if len(target.requests) == 0 || !tc.check(target.requests[0]) {
				t.Errorf("%s: sent %+v", tc.reason, target.requests)
			}
		})
	}
}
