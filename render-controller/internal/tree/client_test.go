package tree

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// TestS25ArtifactsLeadNowhereElse: a server of artifacts cannot send this process on to another.
func TestS25ArtifactsLeadNowhereElse(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	first := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(first.Close)
	cache := newCache(t, Options{})
	_, _, err := cache.Acquire(t.Context(), Artifact{URL: first.URL, Digest: digestOf(nil)})
	if !errors.Is(err, ErrInvalid) || asked.Load() != 0 {
		t.Errorf("error %v, and %d requests elsewhere", err, asked.Load())
	}
}

func TestControl(t *testing.T) {
	for address, refused := range map[string]bool{
		"10.96.0.1:80": false, "127.0.0.1:80": false, "[fd00:10:96::1]:80": false,
		"169.254.169.254:80": true, "[::ffff:169.254.169.254]:80": true, "[fe80::1]:80": true, "[fe80::1%eth0]:80": true,
		"[fd00:ec2::254]:80": true, "[fd20:ce::254]:80": true, "168.63.129.16:80": true, "100.100.100.200:80": true,
		"224.0.0.1:80": true, "not an address": true,
	} {
		if err := control("tcp", address, nil); (err != nil) != refused || (err != nil && !errors.Is(err, ErrInvalid)) {
			t.Errorf("%s: %v, want it refused: %t", address, err, refused)
		}
	}
}
