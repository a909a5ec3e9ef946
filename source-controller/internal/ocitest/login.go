package ocitest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Basic makes the registry want a user name and a password.
func (r *Registry) Basic(username, password string) {
	r.Before(func(w http.ResponseWriter, req *http.Request) bool {
		if u, p, ok := req.BasicAuth(); ok && u == username && p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

// TokenServer gives tokens to those who know a user name and a password; to everybody if the name is empty.
type TokenServer struct {
	*httptest.Server
	username, password string
	// ExpiresIn is what is said about how long tokens are good, in seconds; 0 for nothing.
	ExpiresIn int

	mu     sync.Mutex
	tokens map[string]bool
	given  int
	asked  []http.Header
}

// NewTokenServer starts a token server: with TLS, or without.
func NewTokenServer(t testing.TB, encrypted bool, username, password string) *TokenServer {
	s := &TokenServer{username: username, password: password, tokens: map[string]bool{}}
	s.Server = httptest.NewUnstartedServer(s)
	if encrypted {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *TokenServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, req.Header.Clone())
	if u, p, _ := req.BasicAuth(); s.username != "" && (u != s.username || p != s.password) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	token := "canary-" + rand.Text()
	s.tokens[token], s.given = true, s.given+1
	answer := map[string]any{"token": token}
	if s.ExpiresIn > 0 {
		answer["expires_in"] = s.ExpiresIn
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// Given is how many tokens were given.
func (s *TokenServer) Given() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// Asked returns the headers of all requests until now.
func (s *TokenServer) Asked() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Revoke makes all tokens until now worthless.
func (s *TokenServer) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = map[string]bool{}
}

func (s *TokenServer) good(header string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	const prefix = "Bearer "
	return len(header) > len(prefix) && s.tokens[header[len(prefix):]]
}

// TokenPath is where a registry has tokens that is its own token server.
const TokenPath = "/token"

// Bearer makes the registry want a token of a server, which it names by the given address; by its own if that is empty.
func (r *Registry) Bearer(s *TokenServer, realm string) {
	if realm == "" {
		realm = r.Server.URL + TokenPath
	}
	r.Before(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == TokenPath {
			s.ServeHTTP(w, req)
			return true
		}
		if s.good(req.Header.Get("Authorization")) {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="registry"`, realm))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}
