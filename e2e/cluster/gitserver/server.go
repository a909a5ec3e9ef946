// Package gitserver serves Git repositories over smart HTTP, as a forge does,
// with the real `git http-backend`; it records every request and can be told to
// misbehave. [Server] is the HTTP side, [Repo] makes commits, tags and branches.
package gitserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// closeGrace is how long Close waits for requests in flight.
const closeGrace = 2 * time.Second

// Options configure a Server. The zero value of everything but Dir is usable.
type Options struct {
	// Dir holds the bare repositories, which outlive the server, and a home
	// folder for git.
	Dir string
	// Addr is the address to listen on; empty means a free port on 127.0.0.1.
	Addr string
	// Log receives what git and the server complain about; nil discards it.
	Log io.Writer
}

// Server serves the repositories in a folder. Its methods are safe for
// concurrent use.
type Server struct {
	git      git
	root     string
	listener net.Listener
	http     *http.Server
	backend  http.Handler

	mu       sync.Mutex
	logins   map[string]login // by repository name
	faults   []*fault
	requests []Request
}

type login struct{ user, password string }

// Start starts a server; Close ends it. It needs git with http-backend.
func Start(opts Options) (*Server, error) {
	if opts.Dir == "" {
		return nil, errors.New("start git server: Options.Dir is empty")
	}
	root, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start git server: %w", err)
	}
	git, err := findGit(root)
	if err != nil {
		return nil, fmt.Errorf("start git server: %w", err)
	}
	addr := opts.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start git server: %w", err)
	}
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	logger := log.New(opts.Log, "gitserver: ", 0)
	s := &Server{git: git, root: root, listener: listener, logins: map[string]login{}}
	s.backend = &cgi.Handler{
		Path: git.path,
		Args: []string{"http-backend"},
		Dir:  root,
		Env:  append(git.env(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1"),

		Stderr: opts.Log,
		Logger: logger,
	}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute, ErrorLog: logger}
	go func() { _ = s.http.Serve(listener) }() // ends with Close
	return s, nil
}

// URL is where clients clone a repository from.
func (s *Server) URL(repo string) string {
	return fmt.Sprintf("http://%s/%s.git", s.listener.Addr(), repo)
}

// RequireLogin makes a repository private: requests need HTTP basic
// authentication with exactly these credentials. An empty user makes it public.
func (s *Server) RequireLogin(repo, user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if user == "" {
		delete(s.logins, repo)
		return
	}
	s.logins[repo] = login{user, password}
}

// Close ends the server. Requests that hang in an injected delay are cut.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	request, err := classify(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	recorder := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		request.Status = recorder.status
		s.record(request)
	}()
	if f := s.takeFault(request); f != nil && f.apply(recorder, r) {
		return
	}
	if !s.authorized(request.Repo, r) {
		recorder.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(recorder, "authentication required", http.StatusUnauthorized)
		return
	}
	s.backend.ServeHTTP(recorder, r)
}

func (s *Server) authorized(repo string, r *http.Request) bool {
	s.mu.Lock()
	want, private := s.logins[repo]
	s.mu.Unlock()
	if !private {
		return true
	}
	user, password, ok := r.BasicAuth()
	return ok && user == want.user && password == want.password
}

// git runs the git program without anybody's configuration.
type git struct {
	path, home string
}

func findGit(root string) (git, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return git{}, fmt.Errorf("git is not installed: %w", err)
	}
	home := filepath.Join(root, ".home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return git{}, fmt.Errorf("create home folder for git: %w", err)
	}
	return git{path: path, home: home}, nil
}

func (g git) env() []string {
	return []string{
		"HOME=" + g.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_COMMITTER_NAME=Ada Example", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z",
	}
}

// run runs git in dir and returns its trimmed stdout.
func (g git) run(ctx context.Context, dir, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, g.path, args...)
	cmd.Dir = dir
	cmd.Env = g.env()
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
