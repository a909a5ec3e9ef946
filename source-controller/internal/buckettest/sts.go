package buckettest

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// STS is a Security Token Service that gives out keys to those with a login of a directory, as MinIO documents it
// (AssumeRoleWithLDAPIdentity).
type STS struct {
	*httptest.Server
	Counter
	Faulty

	Username, Password string
	mu                 sync.Mutex
	keys               Keys
	ends               time.Time
}

// NewSTS starts a service; it ends with the test.
func NewSTS(t testing.TB) *STS {
	t.Helper()
	const known = "canary-known-to-the-directory"
	s := &STS{Username: "ada", Password: known, ends: time.Now().Add(time.Hour)}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// Give sets the keys that are given out, and when they end.
func (s *STS) Give(keys Keys, ends time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.ends = keys, ends
}

func (s *STS) serve(w http.ResponseWriter, r *http.Request) {
	s.add("sts")
	if s.failed(w, r) {
		return
	}
	if r.PostFormValue("Action") != "AssumeRoleWithLDAPIdentity" || r.PostFormValue("LDAPUsername") != s.Username ||
		r.PostFormValue("LDAPPassword") != s.Password {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`<ErrorResponse><Error><Code>InvalidParameterValue</Code><Message>quoted-from-server</Message></Error></ErrorResponse>`))
		return
	}
	s.mu.Lock()
	keys, ends := s.keys, s.ends
	s.mu.Unlock()
	_, _ = w.Write([]byte(`<AssumeRoleWithLDAPIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">` +
		`<AssumeRoleWithLDAPIdentityResult><Credentials><AccessKeyId>` + keys.Access + `</AccessKeyId><SecretAccessKey>` + keys.Secret +
		`</SecretAccessKey><SessionToken>` + keys.Session + `</SessionToken><Expiration>` + ends.UTC().Format(time.RFC3339) +
		`</Expiration></Credentials></AssumeRoleWithLDAPIdentityResult></AssumeRoleWithLDAPIdentityResponse>`))
}
