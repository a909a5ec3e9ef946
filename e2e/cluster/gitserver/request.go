package gitserver

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxBody bounds a request whose length the client does not announce.
const maxBody = 256 << 20

// Kind is what a request asks for.
type Kind string

// Kinds of requests. A poll that finds nothing new is one Advertisement from a
// client that speaks protocol v0 or v1, and an Advertisement and a ListRefs from
// one that speaks v2. Any transfer of objects is a Fetch.
const (
	Advertisement Kind = "advertisement"
	ListRefs      Kind = "list-refs"
	Fetch         Kind = "fetch"
	Push          Kind = "push"
	Other         Kind = "other"
)

// Request is one HTTP request that was answered, or cut by a Fault.
type Request struct {
	Repo   string // name without .git
	Kind   Kind
	Status int
	Time   time.Time // when it arrived
}

// Requests returns all requests since the start or the last Forget, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Count says how often each kind was asked of a repository.
func (s *Server) Count(repo string) map[Kind]int {
	counts := map[Kind]int{}
	for _, r := range s.Requests() {
		if r.Repo == repo {
			counts[r.Kind]++
		}
	}
	return counts
}

// Forget empties the record of requests.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

// classify names a request. It looks into the body of a protocol v2 request,
// where the command stands in the first line, and leaves the body readable.
func classify(r *http.Request) (Request, error) {
	repo, service, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	request := Request{Repo: repo, Kind: Other, Time: time.Now()}
	switch service {
	case "info/refs":
		request.Kind = Advertisement
		if r.URL.Query().Get("service") == "git-receive-pack" {
			request.Kind = Push
		}
		return request, nil
	case "git-receive-pack":
		request.Kind = Push
	case "git-upload-pack":
		request.Kind = Fetch
		body := bufio.NewReader(r.Body)
		head, _ := body.Peek(len("0000command=ls-refs"))
		if bytes.HasSuffix(head, []byte("command=ls-refs")) {
			request.Kind = ListRefs
		}
		r.Body = io.NopCloser(body)
	}
	return request, announceLength(r)
}

// announceLength buffers a chunked body, which CGI has no way to pass on.
func announceLength(r *http.Request) error {
	if r.ContentLength >= 0 {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if len(data) > maxBody {
		return fmt.Errorf("read request: longer than %d bytes", maxBody)
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	r.ContentLength = int64(len(data))
	r.TransferEncoding = nil
	return nil
}

// statusWriter remembers the status, and can cut the answer short.
type statusWriter struct {
	http.ResponseWriter
	status int
	limit  int // bytes of body until the connection is cut; 0 means no limit
	sent   int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.limit == 0 {
		return w.ResponseWriter.Write(p)
	}
	if w.sent+len(p) < w.limit {
		n, err := w.ResponseWriter.Write(p)
		w.sent += n
		return n, err
	}
	_, _ = w.ResponseWriter.Write(p[:w.limit-w.sent])
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	panic(http.ErrAbortHandler) // net/http's way to hang up
}
