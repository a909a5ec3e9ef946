package provider_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
	"github.com/sluice-gitops/sluice/notify-controller/internal/provider"
)

type (
	spec   = notificationv1beta3.ProviderSpec
	secret = map[string][]byte
)

func failure() event.Event {
	return event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: "apps", Name: "podinfo",
			UID: "7c1f9a0e-0000-4000-8000-000000000001",
		},
		Severity: "error", Reason: "BuildFailed", Message: "kustomization.yaml: no such file\nin ./deploy",
		Timestamp:           metav1.NewTime(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)),
		ReportingController: "sync-controller", ReportingInstance: "sync-controller-0",
		Metadata: map[string]string{"revision": "main@sha1:0123456789abcdef0123456789abcdef01234567", "env": "prod"},
	}
}

func recovery() event.Event {
	ev := failure()
	ev.Severity, ev.Reason, ev.Message = "info", "ReconciliationSucceeded", "applied 3 objects"
	return ev
}

// hostile tries to reach people and to break out of the message.
func hostile() event.Event {
	ev := failure()
	ev.InvolvedObject.Name = "<!channel>"
	ev.Message = "see <https://evil.example|here> & <!here> <@U1>\x1b[31m\x00\r\n@everyone \xff"
	ev.Metadata = map[string]string{"<!subteam^S1>": "<#C1>", "long": strings.Repeat("<", 600)}
	return ev
}

// request is what a target saw.
type request struct {
	Path   string            `json:"path"`
	Header map[string]string `json:"header"`
	Body   json.RawMessage   `json:"body"`
}

type target struct {
	*httptest.Server
	requests []request
}

func newTarget(t *testing.T, answer http.HandlerFunc) *target {
	t.Helper()
	out := &target{}
	out.Server = httptest.NewServer(out.record(t, answer))
	t.Cleanup(out.Close)
	return out
}

func (s *target) record(t *testing.T, answer http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		seen := request{Path: r.URL.Path, Header: map[string]string{}, Body: body}
		for _, name := range []string{"Authorization", "Content-Type", "Gotk-Component", "X-Signature", "X-Extra"} {
			if value := r.Header.Get(name); value != "" {
				seen.Header[name] = value
			}
		}
		s.requests = append(s.requests, seen)
		answer(w, r)
	})
}

func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func build(t *testing.T, s spec, auth secret) provider.Provider {
	t.Helper()
	built, err := provider.Build(s, provider.Secrets{Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// TestPayloads compares what a target sees with testdata/<name>.json. With UPDATE_GOLDEN set it writes the files.
func TestPayloads(t *testing.T) {
	token := secret{"token": []byte("token-canary\n")}
	tests := map[string]struct {
		spec spec
		auth secret
		path string
		ev   event.Event
	}{
		"slack-webhook-failure":  {spec: spec{Type: "slack", Channel: "#ops", Username: "sluice"}, path: "/services/T/B/X", ev: failure()},
		"slack-webhook-recovery": {spec: spec{Type: "slack"}, path: "/services/T/B/X", ev: recovery()},
		"slack-webhook-hostile":  {spec: spec{Type: "slack"}, path: "/services/T/B/X", ev: hostile()},
		"slack-api-failure":      {spec: spec{Type: "slack", Channel: "C0123"}, auth: token, path: "/api/chat.postMessage", ev: failure()},
		"pagerduty-failure":      {spec: spec{Type: "pagerduty", Channel: "0123456789abcdef0123456789abcdef"}, ev: failure()},
		"pagerduty-recovery":     {spec: spec{Type: "pagerduty"}, auth: token, ev: recovery()},
		"pagerduty-hostile":      {spec: spec{Type: "pagerduty"}, auth: token, ev: hostile()},
		"generic-failure": {
			spec: spec{Type: "generic"}, path: "/hook", ev: failure(),
			auth: secret{"headers": []byte("Authorization: Bearer header-canary\nX-Extra: '1'\n")},
		},
		"generic-hmac-recovery": {spec: spec{Type: "generic-hmac"}, auth: token, path: "/hook", ev: recovery()},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			to := newTarget(t, says(200, `{"ok":true}`))
			tc.spec.Address = to.URL + tc.path
			if err := build(t, tc.spec, tc.auth).Send(t.Context(), tc.ev); err != nil {
				t.Fatal(err)
			}
			golden(t, name, to.requests)
		})
	}
}

func golden(t *testing.T, name string, got any) {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".json")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestSignatureIsTheBodysHMAC(t *testing.T) {
	to := newTarget(t, says(202, ""))
	built := build(t, spec{Type: "generic-hmac", Address: to.URL}, secret{"token": []byte("key")})
	if err := built.Send(t.Context(), failure()); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write(to.requests[0].Body)
	if got, want := to.requests[0].Header["X-Signature"], "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("X-Signature %q, want %q", got, want)
	}
}

// TestFailures: what a target may answer, what we make of it, and that no credential is in what we say.
func TestFailures(t *testing.T) {
	slack := spec{Type: "slack", Address: "/services/url-canary"}
	api := spec{Type: "slack", Address: "/api/chat.postMessage", Channel: "C1"}
	pager := spec{Type: "pagerduty", Channel: "key-canary"}
	generic := spec{Type: "generic", Address: "/hook?sig=url-canary"}
	tests := map[string]struct {
		spec   spec
		answer http.HandlerFunc
		want   provider.Failure
	}{
		"slack 400":              {slack, says(400, "invalid_payload"), provider.Failure{Reason: "the target answered 400 Bad Request (invalid_payload)", Permanent: true}},
		"slack 403":              {slack, says(403, "invalid_token"), provider.Failure{Reason: "the target answered 403 Forbidden (invalid_token)", Permanent: true}},
		"slack 404":              {slack, says(404, "no_service"), provider.Failure{Reason: "the target answered 404 Not Found (no_service)", Permanent: true}},
		"slack 410":              {slack, says(410, "channel_is_archived"), provider.Failure{Reason: "the target answered 410 Gone (channel_is_archived)", Permanent: true}},
		"slack 429":              {slack, says(429, "", "Retry-After", "30"), provider.Failure{Reason: "the target answered 429 Too Many Requests", RetryAfter: 30 * time.Second}},
		"slack 429 with a date":  {slack, says(429, "", "Date", "Sat, 21 Nov 2026 10:00:00 GMT", "Retry-After", "Sat, 21 Nov 2026 10:01:00 GMT"), provider.Failure{Reason: "the target answered 429 Too Many Requests", RetryAfter: time.Minute}},
		"slack 429, nonsense":    {slack, says(429, "", "Retry-After", "-1e9"), provider.Failure{Reason: "the target answered 429 Too Many Requests"}},
		"slack 429, no time":     {slack, says(429, ""), provider.Failure{Reason: "the target answered 429 Too Many Requests"}},
		"slack 503 with a time":  {slack, says(503, "", "Retry-After", "7"), provider.Failure{Reason: "the target answered 503 Service Unavailable", RetryAfter: 7 * time.Second}},
		"slack 500":              {slack, says(500, "rollup_error"), provider.Failure{Reason: "the target answered 500 Internal Server Error (rollup_error)"}},
		"api not in channel":     {api, says(200, `{"ok":false,"error":"not_in_channel"}`), provider.Failure{Reason: "Slack refused the message: not_in_channel", Permanent: true}},
		"api ratelimited":        {api, says(200, `{"ok":false,"error":"ratelimited"}`, "Retry-After", "5"), provider.Failure{Reason: "Slack refused the message: ratelimited", RetryAfter: 5 * time.Second}},
		"api internal error":     {api, says(200, `{"ok":false,"error":"internal_error"}`), provider.Failure{Reason: "Slack refused the message: internal_error"}},
		"api odd error":          {api, says(200, `{"ok":false,"error":"token-canary is bad"}`), provider.Failure{Reason: "Slack refused the message", Permanent: true}},
		"api 429":                {api, says(429, `{"ok":false,"error":"ratelimited"}`, "Retry-After", "5"), provider.Failure{Reason: "the target answered 429 Too Many Requests", RetryAfter: 5 * time.Second}},
		"api login page":         {api, says(200, "<html>token-canary</html>"), provider.Failure{Reason: "the target answered 200 OK, but not as Slack's Web API does"}},
		"api empty answer":       {api, says(200, ""), provider.Failure{Reason: "the target answered 200 OK, but not as Slack's Web API does"}},
		"api no verdict":         {api, says(200, `{}`), provider.Failure{Reason: "the target answered 200 OK, but not as Slack's Web API does"}},
		"pagerduty 400":          {pager, says(400, `{"status":"invalid event","errors":["key-canary"]}`), provider.Failure{Reason: "the target answered 400 Bad Request", Permanent: true}},
		"pagerduty 429":          {pager, says(429, ""), provider.Failure{Reason: "the target answered 429 Too Many Requests", RetryAfter: 30 * time.Second}},
		"pagerduty 503":          {pager, says(503, ""), provider.Failure{Reason: "the target answered 503 Service Unavailable"}},
		"generic 401":            {generic, says(401, "url-canary"), provider.Failure{Reason: "the target answered 401 Unauthorized", Permanent: true}},
		"generic 408":            {generic, says(408, ""), provider.Failure{Reason: "the target answered 408 Request Timeout"}},
		"redirect to other host": {generic, says(307, "", "Location", "http://localhost:1/url-canary"), provider.Failure{Reason: "the target answered 307 Temporary Redirect", Permanent: true}},
		"redirect losing body":   {generic, says(302, "", "Location", "/elsewhere"), provider.Failure{Reason: "the target answered 302 Found", Permanent: true}},
		"redirect loop":          {generic, says(308, "", "Location", "/hook"), provider.Failure{Reason: "the target answered 308 Permanent Redirect", Permanent: true}},
		"hang":                   {generic, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, provider.Failure{Reason: "the target did not answer within spec.timeout"}},
		"closed":                 {generic, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, provider.Failure{Reason: "the target closed the connection"}},
		"broken off": {generic, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "x")
		}, provider.Failure{Reason: "the target's answer broke off: the target closed the connection"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			to := newTarget(t, tc.answer)
			tc.spec.Address = to.URL + tc.spec.Address
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			err := build(t, tc.spec, secret{"token": []byte("token-canary")}).Send(ctx, failure())
			var got *provider.Failure
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a *Failure", err)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if text := fmt.Sprintf("%v %+v", err, got); strings.Contains(text, "canary") {
				t.Errorf("a credential shows in %q", text)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	tests := map[string]struct{ address, want string }{
		"refused":    {"http://127.0.0.1:1/canary", "the target refused the connection"},
		"no host":    {"http://canary.invalid/canary", "the target's host name does not resolve"},
		"odd port":   {"http://127.0.0.1:99999/canary", "the target cannot be reached"},
		"not served": {"https://127.0.0.1:1/canary", "the target refused the connection"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := build(t, spec{Type: "generic", Address: tc.address}, nil).Send(t.Context(), failure())
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestRedirectElsewhereCarriesNothing: another host, port or scheme sees neither credentials nor the notification, in
// whatever place the credentials are.
func TestRedirectElsewhereCarriesNothing(t *testing.T) {
	plain := newTarget(t, says(200, "ok"))
	secure := httptest.NewTLSServer(plain.Config.Handler)
	t.Cleanup(secure.Close)
	auth := secret{"token": []byte("token-canary"), "headers": []byte("X-Extra: header-canary")}
	tests := map[string]spec{
		"slack webhook": {Type: "slack"},
		"pagerduty":     {Type: "pagerduty"},
		"generic":       {Type: "generic"},
		"generic-hmac":  {Type: "generic-hmac"},
	}
	for name, s := range tests {
		for _, status := range []int{301, 302, 303, 307, 308} {
			for _, elsewhere := range []string{plain.URL, secure.URL, strings.Replace(plain.URL, "127.0.0.1", "localhost", 1)} {
				first := newTarget(t, says(status, "", "Location", elsewhere+"/stolen"))
				s.Address = strings.Replace(first.URL, "://", "://user-canary:password-canary@", 1)
				err := build(t, s, auth).Send(t.Context(), failure())
				if err == nil || strings.Contains(err.Error(), "canary") || len(first.requests) != 1 {
					t.Errorf("%s, %d to %s: %v after %d requests", name, status, elsewhere, err, len(first.requests))
				}
			}
		}
	}
	if len(plain.requests) != 0 {
		t.Errorf("another server saw %+v", plain.requests)
	}
}

func TestSameHostRedirectIsFollowed(t *testing.T) {
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusPermanentRedirect)
		}
	})
	if err := build(t, spec{Type: "generic", Address: to.URL + "/old"}, nil).Send(t.Context(), failure()); err != nil {
		t.Fatal(err)
	}
	if len(to.requests) != 2 || !bytes.Equal(to.requests[0].Body, to.requests[1].Body) {
		t.Errorf("requests: %+v", to.requests)
	}
}

func TestOwnCA(t *testing.T) {
	to := httptest.NewTLSServer(says(200, "ok"))
	t.Cleanup(to.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: to.Certificate().Raw})
	built, err := provider.Build(spec{Type: "generic", Address: to.URL}, provider.Secrets{TLS: secret{"ca.crt": ca}})
	if err != nil {
		t.Fatal(err)
	}
	if err := built.Send(t.Context(), failure()); err != nil {
		t.Errorf("with its CA: %v", err)
	}
	err = build(t, spec{Type: "generic", Address: to.URL}, nil).Send(t.Context(), failure())
	if err == nil || !strings.Contains(err.Error(), "certificate is not trusted") {
		t.Errorf("without its CA: %v", err)
	}
}

func TestInvalid(t *testing.T) {
	address := "https://hooks.example/canary"
	tests := map[string]struct {
		spec spec
		auth secret
		tls  secret
		want string
	}{
		"no address":        {spec: spec{Type: "slack"}, want: "no address: set spec.address"},
		"no URL":            {spec: spec{Type: "generic", Address: "canary"}, want: "not an http or https URL"},
		"broken URL":        {spec: spec{Type: "generic", Address: "http://canary:%zz"}, want: "not an http or https URL"},
		"api without token": {spec: spec{Type: "slack", Address: "https://slack.com/api/chat.postMessage", Channel: "C"}, want: "needs the key token"},
		"api without channel": {
			spec: spec{Type: "slack", Address: "https://slack.com/api/chat.postMessage"}, auth: secret{"token": []byte("canary")},
			want: "needs spec.channel",
		},
		"pagerduty without key": {spec: spec{Type: "pagerduty"}, want: "needs an integration key"},
		"hmac without key":      {spec: spec{Type: "generic-hmac", Address: address}, want: "needs the key token"},
		"proxy in the Secret":   {spec: spec{Type: "generic", Address: address}, auth: secret{"proxy": []byte("http://canary")}, want: "the key proxy, which is not served"},
		"headers not YAML":      {spec: spec{Type: "generic", Address: address}, auth: secret{"headers": []byte("- canary")}, want: "not a YAML map of strings"},
		"header's name":         {spec: spec{Type: "generic", Address: address}, auth: secret{"headers": []byte("'X canary': a")}, want: "an entry that HTTP does not allow"},
		"header's value":        {spec: spec{Type: "generic", Address: address}, auth: secret{"headers": []byte(`X-Key: "canary\r\nX-Other: a"`)}, want: "an entry that HTTP does not allow"},
		"token of two lines":    {spec: spec{Type: "slack", Address: address}, auth: secret{"token": []byte("canary\ncanary")}, want: "the key token in the Secret of spec.secretRef has a line break"},
		"headers too large":     {spec: spec{Type: "generic", Address: address}, auth: secret{"headers": bytes.Repeat([]byte("a"), 9000)}, want: "has 9000 bytes"},
		"empty TLS Secret":      {spec: spec{Type: "generic", Address: address}, tls: secret{}, want: "none of the keys"},
		"no certificate":        {spec: spec{Type: "generic", Address: address}, tls: secret{"ca.crt": []byte("canary")}, want: "holds no PEM certificate"},
		"no key pair":           {spec: spec{Type: "generic", Address: address}, tls: secret{"tls.key": []byte("canary")}, want: "no PEM certificate with its key"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := provider.Build(tc.spec, provider.Secrets{Auth: tc.auth, TLS: tc.tls})
			var wrong *provider.InvalidError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestPagerDutyEffects(t *testing.T) {
	tests := map[string]struct {
		reason string
		change func(*event.Event)
		want   plan.Effect
		posts  int
	}{
		"failure":       {"an incident", func(ev *event.Event) { *ev = failure() }, plan.Opens, 1},
		"recovery":      {"resolved, and a change event", func(*event.Event) {}, plan.Closes, 2},
		"no revision":   {"resolved only", func(ev *event.Event) { ev.Metadata = nil }, plan.Closes, 1},
		"progress":      {"still failing, maybe", func(ev *event.Event) { ev.Reason = "Progressing" }, "", 1},
		"rollback":      {"the upgrade has failed", func(ev *event.Event) { ev.Reason = "RollbackSucceeded" }, "", 1},
		"drift":         {"healed meanwhile, but still failing", func(ev *event.Event) { ev.Reason = "DriftCorrected" }, "", 1},
		"status update": {"resolved, if open", func(ev *event.Event) { ev.Metadata["commit_status"] = "update" }, plan.ClosesOpened, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			to := newTarget(t, says(202, `{"status":"success"}`))
			ev := recovery()
			tc.change(&ev)
			pager, ok := build(t, spec{Type: "pagerduty", Address: to.URL + "/v2/enqueue", Channel: "key"}, nil).(provider.Stateful)
			if !ok {
				t.Fatal("PagerDuty keeps a state per object")
			}
			if err := pager.Send(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
			if got := pager.Effect(ev); got != tc.want || len(to.requests) != tc.posts {
				t.Errorf("%s: effect %q with %d posts, want %q with %d", tc.reason, got, len(to.requests), tc.want, tc.posts)
			}
		})
	}
}

// FuzzPayloads: whatever an event holds, every payload is JSON, bounded, and mentions nobody.
func FuzzPayloads(f *testing.F) {
	f.Add("podinfo", "BuildFailed", "failed", "revision", "main", "error")
	f.Add("<!channel>", "&lt;", strings.Repeat("<", 4000), "<@U1>", "\x00\xff", "info")
	f.Add("podinfo", "BuildFailed", "failed", "revision", "main", "a controller\r\nX-Extra: 1\x00")
	f.Fuzz(func(t *testing.T, name, reason, message, key, value, severity string) {
		ev := failure()
		ev.InvolvedObject.Name, ev.Reason, ev.Message, ev.Severity = name, reason, message, severity
		ev.ReportingController = severity
		ev.Metadata = map[string]string{key: value}
		for _, s := range []spec{{Type: "slack"}, {Type: "pagerduty", Channel: "k"}, {Type: "generic"}} {
			to := newTarget(t, says(200, "ok"))
			s.Address = to.URL
			if err := build(t, s, nil).Send(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
			for _, seen := range to.requests {
				if !json.Valid(seen.Body) {
					t.Errorf("%s: not JSON: %q", s.Type, seen.Body)
				}
				if s.Type == "slack" && bytes.ContainsAny(seen.Body, "<>") || s.Type == "slack" && bytes.Contains(seen.Body, []byte(`\u003c`)) {
					t.Errorf("slack: unescaped: %q", seen.Body)
				}
			}
		}
	})
}
