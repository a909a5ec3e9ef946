package buckettest

import (
	"crypto"
	"crypto/md5" //nolint:gosec // what the API lists
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// GCS is Google Cloud Storage with one bucket, and the service that gives out tokens for it. Its JSON API is what the
// client of the controller uses of https://cloud.google.com/storage/docs/json_api.
type GCS struct {
	*httptest.Server
	Shelf
	Counter
	Faulty

	Bucket string
	key    *rsa.PrivateKey
	mu     sync.Mutex
	// tokens are those that are accepted; issued counts them.
	tokens map[string]bool
	issued int
	// Life is how long a token lasts.
	Life time.Duration
	// packed are the keys that are stored compressed.
	packed map[string]bool
}

// NewGCS starts a server; it ends with the test.
func NewGCS(t testing.TB, bucket string) *GCS {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &GCS{Bucket: bucket, key: key, tokens: map[string]bool{}, Life: time.Hour, packed: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// Key is the JSON of a service account's key that the server accepts.
func (s *GCS) Key() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic(err)
	}
	text, _ := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "reader@project.example", "private_key_id": "1", "token_uri": s.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	return text
}

// Accept lets a token in.
func (s *GCS) Accept(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = true
}

// Revoke ends all tokens.
func (s *GCS) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = map[string]bool{}
}

// Pack makes the server store an object compressed, and give it out unpacked.
func (s *GCS) Pack(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packed[key] = true
}

func (s *GCS) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/storage/v1/b/"+s.Bucket+"/o")
	what := "list"
	switch {
	case r.URL.Path == "/token":
		what = "token"
	case path != "" && path != r.URL.EscapedPath():
		what = "get"
	}
	s.add(what)
	if s.failed(w, r) {
		return
	}
	if what == "token" {
		s.token(w, r)
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	known := s.tokens[token]
	s.mu.Unlock()
	switch {
	case !known:
		s.refuse(w, http.StatusUnauthorized)
	case !strings.HasPrefix(r.URL.Path, "/storage/v1/b/"+s.Bucket+"/o"):
		s.refuse(w, http.StatusNotFound)
	case what == "list":
		s.list(w, r.URL.Query())
	default:
		key, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
		if err != nil {
			s.refuse(w, http.StatusBadRequest)
			return
		}
		s.get(w, r, key)
	}
}

func (s *GCS) refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":{"code":%d,"message":"quoted-from-server","errors":[{"reason":"quoted-from-server"}]}}`, status)
}

// token gives out a token to who shows a statement signed with the key (RFC 7523).
func (s *GCS) token(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.PostFormValue("assertion"), ".")
	if len(parts) != 3 || !s.signed(parts) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"quoted-from-server"}`))
		return
	}
	s.mu.Lock()
	s.issued++
	token := fmt.Sprintf("canary-token-%d", s.issued)
	s.tokens[token] = true
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, int(s.Life.Seconds()))
}

func (s *GCS) signed(parts []string) bool {
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], signature) == nil
}

func generation(o Object) string {
	sum := md5.Sum([]byte(o.etag() + "g")) //nolint:gosec // any number that changes with the content
	return fmt.Sprint(uint32(sum[0])<<16 | uint32(sum[1])<<8 | uint32(sum[2]) + 1)
}

func (s *GCS) list(w http.ResponseWriter, query url.Values) {
	type entry struct {
		Name            string `json:"name"`
		Etag            string `json:"etag"`
		Size            string `json:"size"`
		MD5Hash         string `json:"md5Hash"`
		Generation      string `json:"generation"`
		ContentEncoding string `json:"contentEncoding,omitempty"`
	}
	items, next := s.page(query.Get("prefix"), query.Get("pageToken"), 1000)
	result := struct {
		Items         []entry `json:"items"`
		NextPageToken string  `json:"nextPageToken,omitempty"`
	}{NextPageToken: next}
	s.mu.Lock()
	packed := s.packed
	s.mu.Unlock()
	for _, i := range items {
		o, _ := s.Shelf.get(i.key)
		sum := md5.Sum([]byte(o.Content)) //nolint:gosec // what the API lists
		e := entry{
			Name: i.key, Etag: i.etag, Size: fmt.Sprint(i.size), MD5Hash: base64.StdEncoding.EncodeToString(sum[:]), Generation: generation(o),
		}
		if packed[i.key] {
			e.ContentEncoding, e.Size, e.MD5Hash = "gzip", "3", base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))
		}
		result.Items = append(result.Items, e)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(result)
}

func (s *GCS) get(w http.ResponseWriter, r *http.Request, key string) {
	o, ok := s.Shelf.get(key)
	switch {
	case !ok:
		s.refuse(w, http.StatusNotFound)
	case r.URL.Query().Get("alt") != "media":
		s.refuse(w, http.StatusBadRequest)
	case r.URL.Query().Has("ifGenerationMatch") && r.URL.Query().Get("ifGenerationMatch") != generation(o):
		s.refuse(w, http.StatusPreconditionFailed)
	default:
		_, _ = w.Write([]byte(o.Content))
	}
}
