package gitserver

import (
	"net/http"
	"slices"
	"time"
)

// Fault is a way to misbehave. Delay comes first; then Hangup, Status or
// CutAfter, whichever is set; with none of them the request is served normally.
type Fault struct {
	// Repo and Kind restrict the fault; empty means any.
	Repo string
	Kind Kind
	// Times is how many requests it hits; 0 means all until it is removed.
	Times int

	// Delay passes before anything else, or until the client leaves.
	Delay time.Duration
	// Hangup closes the connection without an answer.
	Hangup bool
	// Status is answered instead of git's answer, with Header.
	Status int
	Header http.Header
	// CutAfter closes the connection after so many bytes of git's answer.
	CutAfter int
}

type fault struct {
	Fault
	left int // requests it still hits; negative means all
}

// Inject adds a fault. Of several that fit a request the oldest applies.
// remove ends it; removing twice does nothing.
func (s *Server) Inject(f Fault) (remove func()) {
	added := &fault{Fault: f, left: f.Times}
	if f.Times == 0 {
		added.left = -1
	}
	s.mu.Lock()
	s.faults = append(s.faults, added)
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(f *fault) bool { return f == added })
	}
}

func (s *Server) takeFault(r Request) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.left == 0 || f.Repo != "" && f.Repo != r.Repo || f.Kind != "" && f.Kind != r.Kind {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		return f
	}
	return nil
}

// apply misbehaves, and says whether the request is done with.
func (f *fault) apply(w *statusWriter, r *http.Request) (done bool) {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return true
		}
	}
	switch {
	case f.Hangup:
		w.status = 0
		panic(http.ErrAbortHandler) // net/http's way to hang up
	case f.Status != 0:
		for name, values := range f.Header {
			w.Header()[name] = values
		}
		http.Error(w, http.StatusText(f.Status), f.Status)
		return true
	default:
		w.limit = f.CutAfter
		return false
	}
}
