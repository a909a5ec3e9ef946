package sink

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Failure is a way in which a service fails. One of Status, SlackError, Hang and
// Hangup is set.
type Failure struct {
	// Service restricts the failure; empty means any.
	Service Service
	// Times is how many requests it hits; 0 means all until it is removed.
	Times int

	// Status is answered with Body as text.
	Status int
	Body   string
	// RetryAfter, in whole seconds, is sent as the header of that name.
	RetryAfter time.Duration
	// SlackError is answered as Slack's Web API does: status 200 and ok:false.
	SlackError string
	// Hang keeps the client waiting until it leaves.
	Hang bool
	// Hangup closes the connection without an answer.
	Hangup bool
}

type failure struct {
	Failure
	left int // requests it still hits; negative means all
}

// Fail adds a failure. Of several that fit a request the oldest applies. remove
// ends it; removing twice does nothing.
func (s *Server) Fail(f Failure) (remove func()) {
	added := &failure{Failure: f, left: f.Times}
	if f.Times == 0 {
		added.left = -1
	}
	s.mu.Lock()
	s.failures = append(s.failures, added)
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failures = slices.DeleteFunc(s.failures, func(f *failure) bool { return f == added })
	}
}

func (s *Server) takeFailure(service Service) *failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.failures {
		if f.left == 0 || f.Service != "" && f.Service != service {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		return f
	}
	return nil
}

// apply works out the failing answer. Its status is 0 if there is to be none.
func (f *failure) apply(ctx context.Context, header http.Header) answer {
	if f.Hang {
		<-ctx.Done()
		return answer{}
	}
	if f.Hangup {
		return answer{}
	}
	if f.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	}
	if f.SlackError != "" {
		return slackRefusal(f.SlackError)
	}
	return answer{status: f.Status, text: f.Body}
}
