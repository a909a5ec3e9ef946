// Package gittest runs a real git server, git's own smart HTTP backend, inside a test, and counts and disturbs what it
// is asked.
package gittest

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Server is a git server. It is safe for concurrent use.
type Server struct {
	// URL of the server, without a trailing slash.
	URL string

	root    string
	backend http.Handler

	mu       sync.Mutex
	requests []string
	disturb  Disturbance
	user     string
	password string
}

// Disturbance replaces the answer to a request; it returns false to leave it to git.
type Disturbance func(w http.ResponseWriter, r *http.Request, git http.Handler) bool

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := newServer(t)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// NewTLS starts a server with TLS. Its certificate's authority is returned in PEM by the httptest server.
func NewTLS(t testing.TB) (*Server, *httptest.Server) {
	t.Helper()
	s := newServer(t)
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s, server
}

func newServer(t testing.TB) *Server {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatalf("git is needed to run this test: %v", err)
	}
	root := t.TempDir()
	return &Server{
		root: root,
		backend: &cgi.Handler{
			Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
			Env: []string{
				"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + root,
			},
		},
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	disturb, user, password := s.disturb, s.user, s.password
	s.mu.Unlock()
	if disturb != nil && disturb(w, r, s.backend) {
		return
	}
	if u, p, _ := r.BasicAuth(); user != "" && (u != user || p != password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "you sent "+u+":"+p, http.StatusUnauthorized)
		return
	}
	s.backend.ServeHTTP(w, r)
}

// Requests returns what was asked since the last call, as "GET /repo.git/info/refs".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

// Disturb sets what comes before git; nil for nothing.
func (s *Server) Disturb(d Disturbance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disturb = d
}

// Protect makes the server want a user name and a password.
func (s *Server) Protect(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.password = user, password
}

// Hang answers nothing until the client gives up.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	<-r.Context().Done()
	return true
}

// Status answers every request with a status, and a text that must reach nobody.
func Status(code int) Disturbance {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		http.Error(w, "text of the server", code)
		return true
	}
}

// Truncate cuts the answers to requests with a method off after a number of bytes.
func Truncate(method string, limit int) Disturbance {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) bool {
		if r.Method != method {
			return false
		}
		rec := httptest.NewRecorder()
		git.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		for key, values := range rec.Header() {
			w.Header()[key] = values
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(rec.Code)
		if _, err := w.Write(body[:min(limit, len(body))]); err != nil {
			return true
		}
		panic(http.ErrAbortHandler)
	}
}
