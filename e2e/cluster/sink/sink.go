// Package sink receives notifications on this machine the way the real services
// do: Slack's incoming webhooks and chat.postMessage, PagerDuty's Events API v2,
// and any plain webhook. It answers as their documentation says, refuses what
// they refuse, remembers every request, and can be told to fail.
//
// The paths are those of the real services, so a provider needs only another
// host: /services/T/B/X (hooks.slack.com), /api/chat.postMessage (slack.com),
// /v2/enqueue and /v2/change/enqueue (events.pagerduty.com), and /webhook/…
// GET /deliveries and GET /incidents show as JSON what arrived.
package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	closeGrace = time.Second
	// maxBody bounds a request. PagerDuty's own limit, the smallest, is checked there.
	maxBody = 4 << 20
)

// Options configure a Server; the zero value is usable.
type Options struct {
	// Addr is the address to listen on; empty means a free port on 127.0.0.1.
	Addr string
	// SlackToken is the only bearer token that chat.postMessage accepts; empty
	// means any.
	SlackToken string
}

// Server is a running sink. Its methods are safe for concurrent use.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server

	mu         sync.Mutex
	deliveries []Delivery
	changed    chan struct{} // closed and replaced with every delivery
	incidents  []*Incident
	failures   []*failure
}

// Start starts a sink; Close ends it.
func Start(opts Options) (*Server, error) {
	addr := opts.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start sink: %w", err)
	}
	s := &Server{options: opts, listener: listener, changed: make(chan struct{})}
	s.http = &http.Server{Handler: s.routes(), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }() // ends with Close
	return s, nil
}

// URL is the address of the sink, without a slash at its end.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close ends the sink. Requests that hang in a Failure are cut.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /services/{team}/{app}/{secret}", s.accept(SlackWebhook, s.slackWebhook))
	mux.Handle("POST /api/chat.postMessage", s.accept(Slack, s.slackPostMessage))
	mux.Handle("POST /v2/enqueue", s.accept(PagerDuty, s.pagerDutyAlert))
	mux.Handle("POST /v2/change/enqueue", s.accept(PagerDutyChange, s.pagerDutyChange))
	mux.Handle("POST /webhook/", s.accept(Webhook, func(http.Header, []byte) answer { return answer{status: http.StatusOK} }))
	mux.HandleFunc("GET /deliveries", s.showDeliveries)
	mux.HandleFunc("GET /incidents", s.showIncidents)
	return mux
}

// answer is what a service says to a request. A nil JSON means that text is sent.
type answer struct {
	status   int
	text     string
	json     any
	accepted bool
}

// accept reads a request, lets a failure or the service answer, and records both.
func (s *Server) accept(service Service, handle func(http.Header, []byte) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived := time.Now()
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
			}
			return
		}
		var reply answer
		if f := s.takeFailure(service); f != nil {
			reply = f.apply(r.Context(), w.Header())
		} else {
			reply = handle(r.Header, body)
			reply.accepted = reply.accepted || service == Webhook
		}
		s.record(newDelivery(service, r, body, reply, arrived))
		reply.send(w)
	})
}

func (a answer) send(w http.ResponseWriter) {
	if a.status == 0 {
		panic(http.ErrAbortHandler) // net/http's way to hang up
	}
	if a.json != nil {
		writeJSON(w, a.status, a.json)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.text) // a client that left needs no answer
}
