package s3_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket/s3"
	"github.com/sluice-gitops/sluice/source-controller/internal/buckettest"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// TestF41KeysOfADirectory: keys that a Security Token Service gives out are got once for as long as they last, are not used
// past their end, and not after they were refused.
func TestF41KeysOfADirectory(t *testing.T) {
	t.Parallel()
	server, sts := buckettest.NewS3(t, "fleet"), buckettest.NewSTS(t)
	give := func(name string, ends time.Time) {
		keys := buckettest.Keys{Access: name, Secret: "canary-" + name, Session: "canary-session"}
		server.Allow(keys)
		sts.Give(keys, ends)
	}
	next, _ := wire.NewPool().Transport(wire.Peer{})
	login := s3.Login{From: "the keys that spec.sts gives out", LDAP: &s3.LDAP{
		Endpoint: sts.URL, Username: sts.Username, Password: sts.Password,
		Transport: &bucket.Transport{Next: next, Peer: wire.Peer{Host: "sts.example.com"}},
	}}
	o := options(server, login)
	o.Region = server.Region
	poll := func(step string, want map[string]int) error {
		t.Helper()
		s, err := s3.Open(t.Context(), o)
		if err == nil {
			_, err = list(t.Context(), s, "")
		}
		if diff := cmp.Diff(want, sts.Take()); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", step, diff)
		}
		return err
	}
	give("first", time.Now().Add(time.Hour))
	if err := poll("first", map[string]int{"sts": 1}); err != nil {
		t.Fatal(err)
	}
	if err := poll("kept", map[string]int{}); err != nil {
		t.Fatal(err)
	}
	give("second", time.Now().Add(-time.Second))
	if err := poll("refused", map[string]int{}); !errors.Is(err, bucket.ErrRefused) || !strings.Contains(err.Error(), "the keys that spec.sts gives out") {
		t.Errorf("keys that were revoked: %v", err)
	}
	if err := poll("after that", map[string]int{"sts": 1}); err != nil {
		t.Errorf("the attempt after that: %v", err)
	}
	give("third", time.Now().Add(time.Hour))
	if err := poll("past their end", map[string]int{"sts": 1}); err != nil {
		t.Errorf("keys that have ended: %v", err)
	}
}

func TestTokenServiceRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		password string
		fault    buckettest.Fault
		text     string
	}{
		"wrong password": {password: "canary-wrong", text: "check username and password in the Secret of spec.sts.secretRef; HINT"},
		"down":           {fault: status(http.StatusBadGateway), text: "sts.example.com answers with the HTTP status 502"},
		"no keys":        {fault: status(http.StatusOK), text: "check spec.sts.endpoint"},
		"S-25 redirect": {fault: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", "https://evil.example/")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}, text: "redirect refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sts := buckettest.NewSTS(t)
			sts.Fail(tc.fault)
			if tc.password == "" {
				tc.password = sts.Password
			}
			next, _ := wire.NewPool().Transport(wire.Peer{})
			_, err := s3.Open(t.Context(), s3.Options{
				Endpoint: "store.example.com", Bucket: "fleet", Kept: &bucket.Kept{}, Login: s3.Login{LDAP: &s3.LDAP{
					Endpoint: sts.URL, Username: sts.Username, Password: tc.password, Hint: "; HINT",
					Transport: &bucket.Transport{Next: next, Peer: wire.Peer{Host: "sts.example.com"}},
				}},
			})
			if err == nil || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), "spec.sts") {
				t.Fatalf("got %v, want %q", err, tc.text)
			}
			if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "quoted-from-server") {
				t.Errorf("it shows what it must not: %v", err)
			}
		})
	}
}

func status(code int) buckettest.Fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(code)
		_, _ = w.Write([]byte("<quoted-from-server/>"))
		return true
	}
}
