package gittest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"
)

// HangAfter sends the header and the first bytes of each answer, and nothing more until the client gives up.
func HangAfter(limit int) Disturbance {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) bool {
		body, ok := answer(w, r, git)
		send(w, body[:min(limit, len(body))])
		if ok {
			<-r.Context().Done()
		}
		return true
	}
}

// Drip sends the answers to requests with a method a byte at a time, with a pause before each.
func Drip(method string, pause time.Duration) Disturbance {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) bool {
		if r.Method != method {
			return false
		}
		body, _ := answer(w, r, git)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for i := range body {
			select {
			case <-r.Context().Done():
				return true
			case <-tick.C:
				send(w, body[i:i+1])
			}
		}
		return true
	}
}

// Endless answers requests with a method with a header as git's, and then the same line for ever.
func Endless(method, kind, line string) Disturbance {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != method {
			return false
		}
		w.Header().Set("Content-Type", kind)
		packet := []byte(fmt.Sprintf("%04x%s", len(line)+4, line))
		for r.Context().Err() == nil {
			if _, err := w.Write(packet); err != nil {
				return true
			}
		}
		return true
	}
}

// answer asks git, and sends the header of what it says.
func answer(w http.ResponseWriter, r *http.Request, git http.Handler) ([]byte, bool) {
	rec := httptest.NewRecorder()
	git.ServeHTTP(rec, r)
	for key, values := range rec.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(rec.Code)
	return rec.Body.Bytes(), rec.Code == http.StatusOK
}

func send(w http.ResponseWriter, body []byte) {
	if _, err := w.Write(body); err != nil {
		return // the client gave up
	}
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}
