package sink_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-gitops/sluice/e2e/cluster/sink"
)

const routingKey = "0123456789abcdef0123456789abcdef"

func start(t *testing.T, opts sink.Options) *sink.Server {
	t.Helper()
	s, err := sink.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// post sends JSON and returns status, body and headers of the answer; status 0
// means that there was none.
func post(t *testing.T, url, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return 0, "", nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(answer)), resp.Header
}

func event(action, dedup, payload string) string {
	return fmt.Sprintf(`{"routing_key":%q,"event_action":%q,"dedup_key":%q,"payload":%s}`, routingKey, action, dedup, payload)
}

const payload = `{"summary":"it broke","source":"cluster","severity":"error"}`

func TestAnswers(t *testing.T) {
	s := start(t, sink.Options{SlackToken: "xoxb-1"})
	const bearer = "Authorization: Bearer xoxb-1"
	tests := map[string]struct {
		reason, path, body string
		header             []string
		status             int
		says               string
		accepted           bool
	}{
		"webhook text":          {"text is enough", "/services/T/B/X", `{"text":"hi"}`, nil, 200, "ok", true},
		"webhook attachments":   {"so are attachments", "/services/T/B/X", `{"attachments":[{}]}`, nil, 200, "ok", true},
		"webhook empty":         {"a message says something", "/services/T/B/X", `{}`, nil, 400, "no_text", false},
		"webhook not JSON":      {"the payload is JSON", "/services/T/B/X", `text`, nil, 400, "invalid_payload", false},
		"webhook form":          {"the old form is still documented", "/services/T/B/X", `payload=%7B%22text%22%3A%22hi%22%7D`, []string{"Content-Type: application/x-www-form-urlencoded"}, 200, "ok", true},
		"webhook blocks":        {"50 blocks are the limit", "/services/T/B/X", `{"blocks":[` + strings.Repeat("{},", 50) + `{}]}`, nil, 400, "invalid_blocks", false},
		"webhook path":          {"a hook has three parts", "/services/T", `{"text":"hi"}`, nil, 404, "", false},
		"slack":                 {"ok comes with a timestamp", "/api/chat.postMessage", `{"channel":"C1","text":"hi"}`, []string{bearer}, 200, `"ts":`, true},
		"slack no token":        {"a token is needed", "/api/chat.postMessage", `{"channel":"C1","text":"hi"}`, nil, 200, "not_authed", false},
		"slack wrong token":     {"the token counts", "/api/chat.postMessage", `{"channel":"C1","text":"hi"}`, []string{bearer + "2"}, 200, "invalid_auth", false},
		"slack no channel":      {"a channel is needed", "/api/chat.postMessage", `{"text":"hi"}`, []string{bearer}, 200, "channel_not_found", false},
		"slack no text":         {"a message says something", "/api/chat.postMessage", `{"channel":"C1"}`, []string{bearer}, 200, "no_text", false},
		"slack not JSON":        {"the body is JSON", "/api/chat.postMessage", `hi`, []string{bearer}, 200, "invalid_json", false},
		"pagerduty trigger":     {"a complete event", "/v2/enqueue", event("trigger", "k", payload), nil, 202, `"dedup_key":"k"`, true},
		"pagerduty without key": {"a key is made up", "/v2/enqueue", event("trigger", "", payload), nil, 202, `"dedup_key":"`, true},
		"pagerduty resolve":     {"a resolve needs no payload", "/v2/enqueue", event("resolve", "k", "null"), nil, 202, "success", true},
		"pagerduty no key":      {"a resolve without key resolves nothing", "/v2/enqueue", event("resolve", "", "null"), nil, 400, "dedup_key", false},
		"pagerduty long key":    {"255 characters are the limit", "/v2/enqueue", event("trigger", strings.Repeat("k", 256), payload), nil, 400, "dedup_key", false},
		"pagerduty action":      {"three actions exist", "/v2/enqueue", event("close", "k", payload), nil, 400, "event_action", false},
		"pagerduty severity":    {"four severities exist", "/v2/enqueue", event("trigger", "k", `{"summary":"s","source":"c","severity":"bad"}`), nil, 400, "severity", false},
		"pagerduty routing key": {"a key has 32 characters", "/v2/enqueue", `{"routing_key":"k","event_action":"resolve","dedup_key":"k"}`, nil, 400, "routing_key", false},
		"pagerduty size":        {"512 KB are the limit", "/v2/enqueue", event("trigger", "k", `{"summary":"`+strings.Repeat("s", 600<<10)+`"}`), nil, 400, "larger", false},
		"change":                {"a summary is enough", "/v2/change/enqueue", event("", "", `{"summary":"applied","timestamp":"2026-01-02T03:04:05Z"}`), nil, 202, "Change event processed", true},
		"change without":        {"a summary is needed", "/v2/change/enqueue", event("", "", `{}`), nil, 400, "summary", false},
		"change time":           {"the format is fixed", "/v2/change/enqueue", event("", "", `{"summary":"s","timestamp":"yesterday"}`), nil, 400, "timestamp", false},
		"webhook plain":         {"anything goes", "/webhook/ci", "<xml/>", nil, 200, "", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.Forget()
			status, answer, _ := post(t, s.URL()+test.path, test.body, test.header...)
			if status != test.status || !strings.Contains(answer, test.says) {
				t.Errorf("%s: got %d %q, want %d with %q", test.reason, status, answer, test.status, test.says)
			}
			for _, d := range s.Deliveries() {
				if d.Accepted != test.accepted || d.Status != test.status {
					t.Errorf("%s: recorded as status %d, accepted %v", test.reason, d.Status, d.Accepted)
				}
			}
		})
	}
}

func TestIncidents(t *testing.T) {
	s := start(t, sink.Options{})
	for _, action := range []string{
		"resolve a", "trigger a", "trigger a", "acknowledge a", "trigger b", "resolve a", "resolve a", "trigger a",
	} {
		name, key, _ := strings.Cut(action, " ")
		if status, answer, _ := post(t, s.URL()+"/v2/enqueue", event(name, key, payload)); status != http.StatusAccepted {
			t.Fatal(answer)
		}
	}
	want := []sink.Incident{
		{DedupKey: "a", Status: sink.Resolved, Summary: "it broke", Severity: "error", Triggers: 2},
		{DedupKey: "b", Status: sink.Triggered, Summary: "it broke", Severity: "error", Triggers: 1},
		{DedupKey: "a", Status: sink.Triggered, Summary: "it broke", Severity: "error", Triggers: 1},
	}
	ignore := cmp.Options{cmpopts.IgnoreFields(sink.Incident{}, "Opened"), cmpopts.IgnoreUnexported(sink.Incident{})}
	if diff := cmp.Diff(want, s.Incidents(), ignore); diff != "" {
		t.Error(diff)
	}
}

func TestFailures(t *testing.T) {
	tests := map[string]struct {
		reason     string
		failure    sink.Failure
		status     int
		says       string
		retryAfter string
	}{
		"rate limit": {"the client is told when to come back", sink.Failure{Status: 429, RetryAfter: 30 * time.Second, Body: "ratelimited"}, 429, "ratelimited", "30"},
		"outage":     {"a server error", sink.Failure{Status: 503}, 503, "", ""},
		"slack":      {"Slack refuses with status 200", sink.Failure{SlackError: "is_archived"}, 200, `"error":"is_archived"`, ""},
		"hang":       {"the client gives up", sink.Failure{Hang: true}, 0, "", ""},
		"hangup":     {"the connection closes", sink.Failure{Hangup: true}, 0, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, sink.Options{})
			test.failure.Times, test.failure.Service = 1, sink.SlackWebhook
			s.Fail(test.failure)
			if status, _, _ := post(t, s.URL()+"/webhook/x", "{}"); status != http.StatusOK {
				t.Errorf("the failure of one service hit another: %d", status)
			}
			status, answer, header := post(t, s.URL()+"/services/T/B/X", `{"text":"hi"}`)
			if status != test.status || !strings.Contains(answer, test.says) || header.Get("Retry-After") != test.retryAfter {
				t.Errorf("%s: got %d %q %v", test.reason, status, answer, header)
			}
			if status, _, _ := post(t, s.URL()+"/services/T/B/X", `{"text":"hi"}`); status != http.StatusOK {
				t.Errorf("the failure was for one request, and the second got %d", status)
			}
			d, err := s.Wait(t.Context(), func(d sink.Delivery) bool { return d.Service == sink.SlackWebhook && d.Accepted })
			if err != nil || d.Status != http.StatusOK {
				t.Errorf("no accepted delivery: %+v, %v", d, err)
			}
		})
	}
}

func TestRemovedFailure(t *testing.T) {
	s := start(t, sink.Options{})
	remove := s.Fail(sink.Failure{Status: 500})
	if status, _, _ := post(t, s.URL()+"/webhook/x", "{}"); status != 500 {
		t.Errorf("got %d before the removal", status)
	}
	remove()
	remove()
	if status, _, _ := post(t, s.URL()+"/webhook/x", "{}"); status != 200 {
		t.Errorf("got %d after the removal", status)
	}
}

func TestDeliveriesOverHTTP(t *testing.T) {
	s := start(t, sink.Options{})
	post(t, s.URL()+"/webhook/ci", "plain", "Authorization: Bearer secret", "X-Signature: sha256=1")
	post(t, s.URL()+"/services/T/B/secret", `{"text":"hi"}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/deliveries?service=webhook", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []sink.Delivery
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Path != "/webhook/ci" || string(got[0].Body) != `"plain"` || got[0].Header.Get("X-Signature") == "" {
		t.Errorf("got %+v", got)
	}
	all, err := json.Marshal(s.Deliveries())
	if err != nil || strings.Contains(string(all), "secret") {
		t.Errorf("a secret is in the record: %s, %v", all, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	s := start(t, sink.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Wait(ctx, func(sink.Delivery) bool { return true }); err == nil {
		t.Error("a delivery came from nowhere")
	}
}
