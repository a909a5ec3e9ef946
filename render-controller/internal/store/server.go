package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Handler serves the stored files by their paths, to GET and HEAD. There are no listings.
func (s *Store) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are served", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		if !valid(name) {
			http.NotFound(w, r)
			return
		}
		file, err := s.root.Open(name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer func() { _ = file.Close() }()
		info, err := file.Stat()
		if err != nil || !info.Mode().IsRegular() {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "no-store")
		http.ServeContent(w, r, "", info.ModTime(), file)
	})
}

// Server serves a store until its context ends. It is a manager.Runnable that needs no leader election.
type Server struct {
	Addr  string
	Store *Store
}

// NeedLeaderElection says that every replica serves what it has.
func (*Server) NeedLeaderElection() bool { return false }

// Start listens and serves.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("serve renderings: %w", err)
	}
	server := &http.Server{
		Handler: s.Store.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 5 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	stopped := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(grace)
	})
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve renderings: %w", err)
	}
	return nil
}

// URL is where a file is served, under the address that is advertised: a host, or a URL with its scheme.
func URL(advertised string, file File) string {
	if !strings.HasPrefix(advertised, "http://") && !strings.HasPrefix(advertised, "https://") {
		advertised = "http://" + advertised
	}
	return strings.TrimSuffix(advertised, "/") + "/" + file.Path
}
