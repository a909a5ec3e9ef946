package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Service is one of the services that the sink plays.
type Service string

// The services, by the endpoint that was called.
const (
	SlackWebhook    Service = "slack-webhook"
	Slack           Service = "slack"
	PagerDuty       Service = "pagerduty"
	PagerDutyChange Service = "pagerduty-change"
	Webhook         Service = "webhook"
)

// maxDeliveries bounds the memory of a sink; the oldest are dropped.
const maxDeliveries = 100_000

// Delivery is one request and how it was answered.
type Delivery struct {
	Service Service `json:"service"`
	// Path is kept for webhooks only: in Slack's it is the secret.
	Path string `json:"path,omitempty"`
	// Header is without Authorization, which is a secret.
	Header http.Header `json:"header,omitempty"`
	// Body is the request's; a body that is not JSON is a JSON string here.
	Body json.RawMessage `json:"body"`
	// Status is the HTTP status that was answered; 0 means none was.
	Status int `json:"status"`
	// Accepted says whether the service took the message. Slack answers status
	// 200 also to what it refuses.
	Accepted bool      `json:"accepted"`
	Time     time.Time `json:"time"`
}

// Deliveries returns all requests in the order of their answers. With services
// given, only theirs.
func (s *Server) Deliveries(services ...Service) []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Delivery
	for _, d := range s.deliveries {
		if len(services) == 0 || slices.Contains(services, d.Service) {
			out = append(out, d)
		}
	}
	return out
}

// Forget empties the record of deliveries and incidents.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries, s.incidents = nil, nil
}

// Wait returns the first delivery, past or to come, for which match is true.
// The error says how many did not match when ctx ended.
func (s *Server) Wait(ctx context.Context, match func(Delivery) bool) (Delivery, error) {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		all := s.Deliveries()
		if i := slices.IndexFunc(all, match); i >= 0 {
			return all[i], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Delivery{}, fmt.Errorf("wait for a notification: none of %d matches: %w", len(all), ctx.Err())
		}
	}
}

func (s *Server) record(d Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.deliveries) == maxDeliveries {
		s.deliveries = slices.Delete(s.deliveries, 0, maxDeliveries/10)
	}
	s.deliveries = append(s.deliveries, d)
	close(s.changed)
	s.changed = make(chan struct{})
}

func newDelivery(service Service, r *http.Request, body []byte, reply answer, arrived time.Time) Delivery {
	d := Delivery{
		Service:  service,
		Header:   r.Header.Clone(),
		Body:     body,
		Status:   reply.status,
		Accepted: reply.accepted,
		Time:     arrived,
	}
	d.Header.Del("Authorization")
	if service == Webhook {
		d.Path = r.URL.Path
	}
	if !json.Valid(body) {
		d.Body, _ = json.Marshal(string(body)) // a string always has an encoding
	}
	return d
}

func (s *Server) showDeliveries(w http.ResponseWriter, r *http.Request) {
	var services []Service
	for _, name := range r.URL.Query()["service"] {
		services = append(services, Service(name))
	}
	all := s.Deliveries(services...)
	if all == nil {
		all = []Delivery{}
	}
	writeJSON(w, http.StatusOK, all)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // a client that left needs no answer
}
