// Package ingest serves Flux's event endpoint: a POST of an event's JSON is answered 202 once the event is stored
// durably, and 503 when it cannot be, so that the sender tries again. 429 says that it repeats what is stored already,
// which is how Flux's controllers read it; it is never said for overload.
//
// As in Flux the endpoint is open to everybody who can reach it: a NetworkPolicy decides who that is.
package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
)

// Limits of the endpoint. Flux's are the same.
const (
	// MaxBody of a request, in bytes.
	MaxBody = 3 << 20
	// maxHeader of a request, in bytes.
	maxHeader   = 256 << 10
	readTimeout = 30 * time.Second
	// maxRequests are handled at a time; the others wait for a moment.
	maxRequests = 32
	queueTime   = 5 * time.Second
	stopTimeout = 10 * time.Second
)

// Publisher stores a message durably; a [bus.Bus] is one.
type Publisher interface {
	Publish(ctx context.Context, stream bus.Stream, m bus.Message) error
}

// Server is the event endpoint. Create it with New.
type Server struct {
	addr    string
	bus     Publisher
	clock   clock.PassiveClock
	log     logr.Logger
	repeats *repeats
	slots   chan struct{}
}

// New returns a server that listens on addr once started; interval is the one in which repetitions are refused.
func New(addr string, b Publisher, interval time.Duration, c clock.PassiveClock, log logr.Logger) *Server {
	return &Server{
		addr: addr, bus: b, clock: c, log: log,
		repeats: newRepeats(interval, c),
		slots:   make(chan struct{}, maxRequests),
	}
}

// NeedLeaderElection is false: every replica takes events, the leader sends them.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends. It implements manager.Runnable.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listen for events: %w", err)
	}
	server := &http.Server{
		Handler: s, ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout,
		WriteTimeout: 2 * readTimeout, IdleTimeout: 2 * readTimeout, MaxHeaderBytes: maxHeader,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	s.log.Info("event endpoint is up", "addr", listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve events: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		return fmt.Errorf("stop the event endpoint: %w", err)
	}
	return nil
}

// ServeHTTP takes one event.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "only POST is served", http.StatusMethodNotAllowed)
		return
	}
	timer := time.NewTimer(queueTime)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-timer.C:
		http.Error(w, "busy, try again", http.StatusServiceUnavailable)
		return
	case <-r.Context().Done():
		return
	}
	status, text := s.take(w, r)
	if status == http.StatusAccepted {
		w.WriteHeader(status)
		return
	}
	http.Error(w, text, status)
}

func (s *Server) take(w http.ResponseWriter, r *http.Request) (status int, text string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", int64(MaxBody))
	}
	if err != nil {
		return http.StatusBadRequest, "the body broke off"
	}
	var ev event.Event
	if err := json.Unmarshal(body, &ev); err != nil {
		return http.StatusBadRequest, "the body is not the JSON of an event"
	}
	if ev.Timestamp.IsZero() {
		ev.Timestamp = metav1.NewTime(s.clock.Now())
	}
	envelope, err := event.Wrap(identity(ev), ev)
	if err != nil {
		return http.StatusBadRequest, err.Error()
	}
	return s.store(r.Context(), ev, envelope)
}

func (s *Server) store(ctx context.Context, ev event.Event, envelope event.Envelope) (status int, text string) {
	if s.repeats.repeated(ev) {
		return http.StatusTooManyRequests, "the event repeats the last one of its object"
	}
	err := s.bus.Publish(ctx, bus.Events(), bus.Message{
		Subject: envelope.Subject, ID: envelope.ID, Header: envelope.Header, Data: envelope.Data,
	})
	if err != nil && !errors.Is(err, bus.ErrUnavailable) {
		return http.StatusBadRequest, "the event can never be stored"
	}
	if err != nil {
		s.log.Info("event not stored; the sender is asked to try again", "subject", envelope.Subject, "reason", err.Error())
		return http.StatusServiceUnavailable, "the event cannot be stored now, try again"
	}
	s.repeats.note(ev)
	return http.StatusAccepted, ""
}
