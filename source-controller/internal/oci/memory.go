package oci

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

const (
	// defaultLifetime is how long a token is good for if its server does not say, by the protocol's own rule.
	defaultLifetime = time.Minute
	// maxLifetime is how long a token is used at most, whatever its server says.
	maxLifetime = time.Hour
	// margin is how long before its end a token is not used any more, so that it does not end on its way.
	margin = 10 * time.Second
)

// Memory is what one object's registry said: how it wants to be logged in to, its tokens until they end, and until when it is not to
// be asked. With it a poll is one request. The zero value knows nothing; it is safe for concurrent use, and prints as nothing.
//
// It must not be shared between objects: what a registry said came through the object's own proxy, under its own
// authorities, from whoever these let speak.
type Memory struct {
	// Clock tells the time; nil for time.Now.
	Clock func() time.Time

	mu sync.Mutex
	// said is about this registry and no other.
	registry name.Registry
	known    bool
	said     challenge
	// noHead is set when the registry refuses HEAD and gives the same with GET.
	noHead bool
	// bearer is the token of these credentials for this repository.
	bearer string
	owner  authn.AuthConfig
	repo   name.Repository
	until  time.Time
	// hushed is until when the registry is not asked with these credentials.
	hushed      time.Time
	hushedOwner authn.AuthConfig
	hushedHost  name.Registry
}

// String keeps tokens out of whatever prints them.
func (*Memory) String() string { return "memory" }

// GoString keeps tokens out of whatever prints them.
func (*Memory) GoString() string { return "memory" }

func (m *Memory) now() time.Time {
	if m.Clock == nil {
		return time.Now()
	}
	return m.Clock()
}

func (m *Memory) challenge(s *session) (challenge, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known || m.registry != s.repo.Registry {
		return challenge{}, false
	}
	return m.said, true
}

// learn remembers what a registry wants, instead of what it, or another one, wanted before.
func (m *Memory) learn(s *session, said challenge) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.registry != s.repo.Registry {
		m.noHead = false
	}
	m.registry, m.known, m.said, m.bearer = s.repo.Registry, true, said, ""
}

// forget makes the next request ask the registry what it wants.
func (m *Memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known, m.bearer, m.noHead = false, "", false
}

func (m *Memory) token(s *session, have authn.AuthConfig) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ok := m.bearer != "" && m.repo == s.repo && m.owner == have && m.now().Before(m.until)
	return m.bearer, ok
}

func (m *Memory) keep(s *session, have authn.AuthConfig, token string, lifetime time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if lifetime <= 0 {
		lifetime = defaultLifetime
	}
	m.bearer, m.owner, m.repo = token, have, s.repo
	m.until = m.now().Add(min(lifetime, maxLifetime) - margin)
}

// refused learns from the registry's answer that a request has no login, or not the right one. It reports whether there is
// another one to try: a new token instead of one that was remembered, or the login that the answer asks for.
func (m *Memory) refused(ctx context.Context, s *session, res *http.Response, fresh bool) (again bool, err error) {
	before, ok := m.challenge(s)
	if !ok {
		return false, nil
	}
	wants, err := parseChallenge(ctx, before.scheme, res.Header)
	if err != nil || wants.login != "bearer" || before.login == "bearer" && fresh {
		return false, err // a user name and a password went along already, if there are any
	}
	m.learn(s, wants)
	return true, nil
}

// quiet is how long the registry still wants not to be asked with these credentials.
func (m *Memory) quiet(s *session, have authn.AuthConfig) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hushedHost != s.repo.Registry || m.hushedOwner != have {
		return 0
	}
	return max(m.hushed.Sub(m.now()), 0)
}

func (m *Memory) hush(s *session, have authn.AuthConfig, after time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hushedHost, m.hushedOwner, m.hushed = s.repo.Registry, have, m.now().Add(after)
}

func (m *Memory) headless() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.noHead
}

func (m *Memory) learnHeadless() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noHead = true
}
