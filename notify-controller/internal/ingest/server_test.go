package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/bustest"
	"github.com/sluice-gitops/sluice/api/bus/jetstream"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ingest"
)

// stream records what is stored, and fails when told.
type stream struct {
	mu       sync.Mutex
	messages []bus.Message
	err      error
}

func (s *stream) Publish(_ context.Context, _ bus.Stream, m bus.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.messages = append(s.messages, m)
	}
	return s.err
}

// fluxEvent is what a Flux controller posts.
const fluxEvent = `{"involvedObject":{"kind":"Kustomization","namespace":"apps","name":"podinfo","uid":"1",
"apiVersion":"kustomize.toolkit.fluxcd.io/v1","resourceVersion":"%s"},"severity":"%s","timestamp":"%s",
"message":"%s","reason":"BuildFailed","reportingController":"kustomize-controller","reportingInstance":"pod-%s",
"metadata":{"kustomize.toolkit.fluxcd.io/revision":"main@sha1:1"}}`

func body(second int, severity, message string) string {
	at := time.Date(2026, 11, 21, 10, 0, second, 0, time.UTC).Format(time.RFC3339)
	return fmt.Sprintf(fluxEvent, fmt.Sprint(second), severity, at, message, fmt.Sprint(second))
}

func post(t *testing.T, server http.Handler, text string) int {
	t.Helper()
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(text)))
	return answer.Code
}

func TestStoredBeforeItIsAccepted(t *testing.T) {
	stored, clk := &stream{err: bus.ErrUnavailable}, clocktesting.NewFakeClock(time.Now())
	server := ingest.New(ingest.Options{Bus: stored, Interval: 5 * time.Minute, Clock: clk})
	if code := post(t, server, body(1, "error", "no")); code != http.StatusServiceUnavailable {
		t.Errorf("got %d while nothing can be stored, want 503", code)
	}
	stored.err = nil
	if code := post(t, server, body(1, "error", "no")); code != http.StatusAccepted {
		t.Errorf("got %d for the repeated attempt, want 202", code)
	}
	if len(stored.messages) != 1 {
		t.Fatalf("%d messages stored", len(stored.messages))
	}
	m := stored.messages[0]
	ev, err := event.Unwrap(event.Envelope{Subject: m.Subject, ID: m.ID, Header: m.Header, Data: m.Data})
	if err != nil || ev.Message != "no" || m.Subject != "sluice.events.kustomize-controller.Kustomization.apps.podinfo.BuildFailed" {
		t.Errorf("stored %s on %s: %v", m.Data, m.Subject, err)
	}
}

// TestOverTheWire: with a real NATS server that is away, 503; 202 says that it has the event, also after its restart.
func TestOverTheWire(t *testing.T) {
	nats := bustest.NewServer(t)
	b, err := jetstream.Connect(t.Context(), jetstream.Options{URL: nats.URL(), Name: "notify-controller"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	endpoint := httptest.NewServer(ingest.New(ingest.Options{Bus: b, Interval: time.Minute, Clock: clocktesting.NewFakeClock(time.Now())}))
	t.Cleanup(endpoint.Close)
	send := func() int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.URL, strings.NewReader(body(1, "error", "no")))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := endpoint.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	if code := send(); code != http.StatusServiceUnavailable {
		t.Errorf("without NATS: %d, want 503", code)
	}
	nats.Start(t)
	deadline := time.After(90 * time.Second)
	for code := send(); code != http.StatusAccepted; code = send() {
		select {
		case <-deadline:
			t.Fatalf("with NATS: %d, want 202", code)
		case <-time.After(20 * time.Millisecond):
		}
	}
	nats.Stop()
	nats.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	found := ""
	_ = b.Consume(ctx, bus.Consumer{Stream: bus.Events(), Name: "test"}, func(_ context.Context, d bus.Delivery) bus.Verdict {
		found = d.Subject
		cancel()
		return bus.Done()
	}) // ends with ctx
	if found != "sluice.events.kustomize-controller.Kustomization.apps.podinfo.BuildFailed" {
		t.Errorf("found %q in the stream", found)
	}
}

// TestEndlessBody: a body that never ends is cut off, however it is sent.
func TestEndlessBody(t *testing.T) {
	stored := &stream{}
	endpoint := httptest.NewServer(ingest.New(ingest.Options{Bus: stored, Interval: time.Minute, Clock: clocktesting.NewFakeClock(time.Now())}))
	t.Cleanup(endpoint.Close)
	endless := &endless{}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.URL, endless)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := endpoint.Client().Do(request)
	if err == nil { // else the connection was closed before the answer was read
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d, want 413", answer.StatusCode)
		}
	}
	if read := endless.read.Load(); read > 4*ingest.MaxBody || len(stored.messages) != 0 {
		t.Errorf("%d bytes were taken, %d messages stored", read, len(stored.messages))
	}
}

// endless is a body of chunks.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read.Add(int64(len(p)))
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestRepetitions(t *testing.T) {
	type step struct {
		reason   string
		after    time.Duration
		severity string
		message  string
		want     int
	}
	steps := []step{
		{"the first", 0, "error", "no", 202},
		{"the same at the next attempt", time.Minute, "error", "no", 429},
		{"another text", time.Minute, "error", "still no", 202},
		{"back to the first text is news", 0, "error", "no", 202},
		{"recovered", 0, "info", "yes", 202},
		{"failing again after a recovery is news", 0, "error", "no", 202},
		{"the interval is over", 6 * time.Minute, "error", "no", 202},
	}
	stored, clk := &stream{}, clocktesting.NewFakeClock(time.Now())
	server := ingest.New(ingest.Options{Bus: stored, Interval: 5 * time.Minute, Clock: clk})
	for i, s := range steps {
		clk.Step(s.after)
		if code := post(t, server, body(i, s.severity, s.message)); code != s.want {
			t.Errorf("%s: got %d, want %d", s.reason, code, s.want)
		}
	}
	ids := map[string]bool{}
	for _, m := range stored.messages {
		ids[m.ID] = true
	}
	if len(ids) != len(stored.messages) {
		t.Errorf("%d ids for %d events: the bus would drop some", len(ids), len(stored.messages))
	}
}

func TestRefused(t *testing.T) {
	large := body(1, "error", strings.Repeat("x", ingest.MaxBody))
	metadata, err := json.Marshal(map[string]any{
		"involvedObject": map[string]string{"kind": "Kustomization", "name": "x"}, "reason": "r", "reportingController": "c",
		"metadata": map[string]string{"large": strings.Repeat("x", event.MaxData)},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		body string
		want int
	}{
		"empty":           {"", 400},
		"no JSON":         {"{", 400},
		"gzip":            {"\x1f\x8b\x08\x00", 400},
		"wrong types":     {`{"involvedObject":[]}`, 400},
		"no object":       {`{"reason":"x","reportingController":"y"}`, 400},
		"no controller":   {`{"involvedObject":{"kind":"A","name":"b"},"reason":"x"}`, 400},
		"null":            {`null`, 400},
		"large metadata":  {string(metadata), 400},
		"larger than 3Mi": {large, 413},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			stored := &stream{}
			server := ingest.New(ingest.Options{Bus: stored, Interval: time.Minute, Clock: clocktesting.NewFakeClock(time.Now())})
			if code := post(t, server, tc.body); code != tc.want || len(stored.messages) != 0 {
				t.Errorf("got %d with %d stored, want %d", code, len(stored.messages), tc.want)
			}
		})
	}
	never := &stream{err: errors.New("a header has a line break")}
	server := ingest.New(ingest.Options{Bus: never, Interval: time.Minute, Clock: clocktesting.NewFakeClock(time.Now())})
	if code := post(t, server, body(1, "error", "no")); code != http.StatusBadRequest {
		t.Errorf("what can never be stored: got %d, want 400", code)
	}
	answer := httptest.NewRecorder()
	server = ingest.New(ingest.Options{Bus: &stream{}, Interval: time.Minute, Clock: clocktesting.NewFakeClock(time.Now())})
	server.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %d", answer.Code)
	}
}

// FuzzEvents: no body makes the endpoint panic, and what it stores can be read again.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(body(1, "error", "no")))
	f.Add([]byte(`{"involvedObject":{"kind":"A","name":"b.c/d*>"},"reason":"x y","reportingController":"\u0000","timestamp":null}`))
	f.Add([]byte(`{"involvedObject":{"kind":"A","name":"b"},"reason":"x","reportingController":"y","timestamp":"9999-99-99"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		stored := &stream{}
		server := ingest.New(ingest.Options{Bus: stored, Interval: time.Minute, Clock: clocktesting.NewFakeClock(time.Unix(0, 0))})
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(data)))
		if (answer.Code == http.StatusAccepted) != (len(stored.messages) == 1) {
			t.Errorf("answered %d with %d stored", answer.Code, len(stored.messages))
		}
		for _, m := range stored.messages {
			if _, err := event.Unwrap(event.Envelope{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
				t.Error(err)
			}
			if _, err := event.ParseSubject(m.Subject); err != nil {
				t.Error(err)
			}
		}
	})
}
