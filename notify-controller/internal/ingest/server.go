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
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/measure"
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

// Options of a server.
type Options struct {
	// Addr is listened on once the server is started.
	Addr string
	Bus  Publisher
	// Interval is the one in which repetitions are refused.
	Interval time.Duration
	Clock    clock.PassiveClock
	// Metrics count what is posted; nil for nobody.
	Metrics *measure.Metrics
	Log     logr.Logger
}

// Server is the event endpoint. Create it with New.
type Server struct {
	Options

	repeats *repeats
	slots   chan struct{}
	// failing is set while events cannot be stored.
	failing atomic.Bool
}

// New returns a server.
func New(o Options) *Server {
	return &Server{Options: o, repeats: newRepeats(o.Interval, o.Clock), slots: make(chan struct{}, maxRequests)}
}

// NeedLeaderElection is false: every replica takes events, the leader sends them.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends. It implements manager.Runnable.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("listen for events: %w", err)
	}
	server := &http.Server{
		Handler: s, ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout,
		WriteTimeout: 2 * readTimeout, IdleTimeout: 2 * readTimeout, MaxHeaderBytes: maxHeader,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	s.Log.Info("listening for events on " + listener.Addr().String())
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
		s.count(http.StatusServiceUnavailable)
		http.Error(w, "busy, try again", http.StatusServiceUnavailable)
		return
	case <-r.Context().Done():
		return
	}
	status, text := s.take(w, r)
	s.count(status)
	if status == http.StatusAccepted {
		w.WriteHeader(status)
		return
	}
	http.Error(w, text, status)
}

func (s *Server) count(status int) {
	result := measure.Refused
	switch status {
	case http.StatusAccepted:
		result = measure.Stored
	case http.StatusTooManyRequests:
		result = measure.Repeated
	case http.StatusServiceUnavailable:
		result = measure.Unavailable
	}
	s.Metrics.Received(result)
}

// logStored says once that events cannot be stored, and once that they can again.
func (s *Server) logStored(ev event.Event, id string, err error) {
	log := delivery.EventLog(s.Log, id, ev)
	switch {
	case err == nil && s.failing.Swap(false):
		log.Info("recovered: posted events are stored again")
	case err == nil:
		log.V(logkey.Debug).Info("stored the posted event " + delivery.Headline(ev))
	case s.failing.Swap(true):
		log.V(logkey.Debug).Info("failed to store the posted event "+delivery.Headline(ev)+": "+err.Error(), logkey.Problem, err.Error())
	default:
		log.Info("failed to store posted events, their senders are asked to try again: "+err.Error(), logkey.Problem, err.Error())
	}
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
		ev.Timestamp = metav1.NewTime(s.Clock.Now())
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
	err := s.Bus.Publish(ctx, bus.Events(), bus.Message{
		Subject: envelope.Subject, ID: envelope.ID, Header: envelope.Header, Data: envelope.Data,
	})
	if err != nil && !errors.Is(err, bus.ErrUnavailable) {
		return http.StatusBadRequest, "the event can never be stored"
	}
	s.logStored(ev, envelope.ID, err)
	if err != nil {
		return http.StatusServiceUnavailable, "the event cannot be stored now, try again"
	}
	s.repeats.note(ev)
	return http.StatusAccepted, ""
}
