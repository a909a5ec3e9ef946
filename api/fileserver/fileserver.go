// Package fileserver serves the files that one controller makes for others: artifacts, and sealed renderings. A file's path
// is <kind>/<namespace>/<name>/<file>, with a file name that no other content ever has.
package fileserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

const (
	maxConnections  = 1024
	maxHeaderBytes  = 16 << 10
	readTimeout     = 10 * time.Second
	writeTimeout    = 5 * time.Minute
	idleTimeout     = time.Minute
	shutdownTimeout = 10 * time.Second
)

// Open opens a file for reading, by its path. Whatever error it returns, the file does not exist for the client.
type Open func(path string) (*os.File, error)

// URL is where a file is served, under an address that is advertised: a host, with or without a port, or a URL that begins
// with its scheme.
func URL(advertised, path string) string {
	if !strings.HasPrefix(advertised, "http://") && !strings.HasPrefix(advertised, "https://") {
		advertised = "http://" + advertised
	}
	return strings.TrimRight(advertised, "/") + "/" + path
}

// Handler serves files to GET and HEAD. Folders, hidden names, and anything that is not exactly
// <kind>/<namespace>/<name>/<file> do not exist for it.
func Handler(open Open) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are served", http.StatusMethodNotAllowed)
			return
		}
		path := strings.TrimPrefix(r.URL.Path, "/")
		if !servable(path) {
			http.NotFound(w, r)
			return
		}
		serve(w, r, open, path)
	})
}

func servable(path string) bool {
	parts := strings.Split(path, "/")
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

func serve(w http.ResponseWriter, r *http.Request, open Open, path string) {
	file, err := open(path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(w, r, "", info.ModTime(), file)
}

// Server serves files. It implements manager.Runnable, and runs on the leader only: no other has the files.
type Server struct {
	// Files is what it serves, for errors: "artifacts".
	Files string
	// Address to listen on, such as ":9090".
	Address string
	// Open opens a file.
	Open Open

	serving atomic.Bool
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (s *Server) NeedLeaderElection() bool { return true }

// Start serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("serve %s: %w", s.Files, err)
	}
	server := &http.Server{
		Handler: Handler(s.Open), MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
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
		return fmt.Errorf("serve %s: %w", s.Files, err)
	}
	return <-stopped
}

// Ready is a readiness check: whoever serves no file must get no request for one.
func (s *Server) Ready(*http.Request) error {
	if !s.serving.Load() {
		return fmt.Errorf("%s are not being served", s.Files)
	}
	return nil
}
