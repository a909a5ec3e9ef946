package upstream

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// closeGrace is how long Close waits for requests in flight.
const closeGrace = 2 * time.Second

// Request is one that was answered.
type Request struct {
	Method, Path string
	Status       int
	// Bytes of the answer's body.
	Bytes int64
	At    time.Time
}

// login is what a part of a server asks for.
type login struct{ user, password string }

// server is what the upstreams have in common: a port, logins by path, and a record. It is safe for concurrent use.
type server struct {
	listener net.Listener
	http     *http.Server

	mu       sync.Mutex
	logins   map[string]login // by the beginning of a path
	requests []Request
}

// start serves a handler on a free port of this machine until close.
func start(handler http.Handler) (*server, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start upstream: %w", err)
	}
	s := &server{listener: listener, logins: map[string]login{}}
	s.http = &http.Server{Handler: s.recorded(handler), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }() // ends with Close
	return s, nil
}

// Addr is host and port.
func (s *server) Addr() string { return s.listener.Addr().String() }

// RequireLogin makes everything below a path ask for HTTP basic authentication. An empty user makes it public.
func (s *server) RequireLogin(path, user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.logins, path); user != "" {
		s.logins[path] = login{user, password}
	}
}

// Requests are those that were answered so far.
func (s *server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Close ends the server.
func (s *server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

func (s *server) recorded(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &recorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.requests = append(s.requests, Request{Method: r.Method, Path: r.URL.Path, Status: answer.status, Bytes: answer.bytes, At: time.Now()})
		}()
		if !s.authorized(r) {
			answer.Header().Set("WWW-Authenticate", `Basic realm="upstream"`)
			http.Error(answer, "authentication required", http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(answer, r)
	})
}

func (s *server) authorized(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, want := range s.logins {
		if strings.HasPrefix(r.URL.Path, path) {
			user, password, ok := r.BasicAuth()
			return ok && user == want.user && password == want.password
		}
	}
	return true
}

// recorder remembers how a request was answered.
type recorder struct {
	http.ResponseWriter

	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}
