package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

const (
	maxConnections  = 1024
	shutdownTimeout = 10 * time.Second
)

// Handler serves stored files to GET and HEAD. Folders, hidden names and anything that is not exactly
// <kind>/<namespace>/<name>/<file> do not exist for it.
func (s *Store) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		file := strings.TrimPrefix(r.URL.Path, "/")
		if !servable(file) {
			http.NotFound(w, r)
			return
		}
		s.serve(w, r, file)
	})
}

func servable(file string) bool {
	parts := strings.Split(file, "/")
	if len(parts) != 4 {
		return false
	}
	for _, part := range parts {
		if part == "" || strings.HasPrefix(part, ".") || strings.ContainsAny(part, "\\\x00") {
			return false
		}
	}
	return true
}

func (s *Store) serve(w http.ResponseWriter, r *http.Request, file string) {
	f, err := s.Read(file)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// Server serves a store. It implements manager.Runnable, and runs on the leader only: no other has the files.
type Server struct {
	// Store that is served.
	Store *Store
	// Address to listen on, such as ":9090".
	Address string

	serving atomic.Bool
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (s *Server) NeedLeaderElection() bool { return true }

// Start serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listen for artifact downloads: %w", err)
	}
	server := &http.Server{
		Handler:           s.Store.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	s.serving.Store(true)
	defer s.serving.Store(false)
	if err := server.Serve(netutil.LimitListener(listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve artifacts: %w", err)
	}
	return <-stopped
}

// Ready is a readiness check: whoever serves no artifact must get no request for one.
func (s *Server) Ready(*http.Request) error {
	if !s.serving.Load() {
		return errors.New("artifacts are not being served")
	}
	return nil
}
