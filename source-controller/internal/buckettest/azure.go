package buckettest

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what the service lists
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// Azure is Azure Blob Storage with one container, and the service that gives out tokens for it, behind TLS: what the client of
// the controller uses of https://learn.microsoft.com/rest/api/storageservices. Account is the first part of the host that it is
// reached by.
type Azure struct {
	*httptest.Server
	Shelf
	Counter
	Faulty

	Container, Account string
	// AccountKey is in base64. Whoever knows it may read, and who shows Signature as sig, or Token.
	AccountKey       string
	Signature, Token string
	// Secret is that of the application which gets the token.
	Secret string
}

// NewAzure starts a server; it ends with the test.
func NewAzure(t testing.TB, name string) *Azure {
	t.Helper()
	s := &Azure{
		Container: name, Account: "127", AccountKey: base64.StdEncoding.EncodeToString([]byte("canary-account-key")),
		Signature: "canary+signature/=", Token: "canary-token", Secret: "canary-client-secret",
	}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// CA is the server's certificate in PEM, for ca.crt.
func (s *Azure) CA() []byte { return CA(s.Server) }

// CA is a server's certificate in PEM, for ca.crt.
func CA(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// Authority is the address for authorityHost.
func (s *Azure) Authority() string { return s.URL + "/" }

func (s *Azure) serve(w http.ResponseWriter, r *http.Request) {
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	what := "get"
	switch {
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		what = "token"
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"), r.URL.Path == "/common/discovery/instance":
		what = "configuration"
	case r.URL.Query().Get("comp") == "list":
		what = "list"
	}
	s.add(what)
	if s.failed(w, r) {
		return
	}
	switch {
	case what == "token":
		s.token(w, r)
	case what == "configuration":
		s.configuration(w, r, name)
	case !s.authorized(r):
		s.refuse(w, http.StatusForbidden, "AuthenticationFailed")
	case name != s.Container:
		s.refuse(w, http.StatusNotFound, "ContainerNotFound")
	case what == "list":
		s.list(w, r.URL.Query())
	default:
		s.get(w, r, key)
	}
}

// configuration is how a tenant says where tokens are (OpenID Connect Discovery), and how Microsoft says which hosts are its.
func (s *Azure) configuration(w http.ResponseWriter, r *http.Request, tenant string) {
	base := "https://" + r.Host + "/" + tenant
	answer := map[string]any{
		"authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token", "issuer": base + "/v2.0",
	}
	if tenant == "common" {
		answer = map[string]any{
			"tenant_discovery_endpoint": base + "/v2.0/.well-known/openid-configuration",
			"metadata":                  []any{map[string]any{"preferred_network": r.Host, "preferred_cache": r.Host, "aliases": []string{r.Host}}},
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Azure) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.PostFormValue("client_secret") != s.Secret && r.PostFormValue("client_assertion") == "" {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"quoted-from-server"}`))
		return
	}
	_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,"access_token":%q}`, s.Token)
}

func (s *Azure) authorized(r *http.Request) bool {
	header := r.Header.Get("Authorization")
	switch {
	case header == "Bearer "+s.Token:
		return true
	case strings.HasPrefix(header, "SharedKey "):
		return header == "SharedKey "+s.Account+":"+s.sign(r)
	}
	return r.URL.Query().Get("sig") == s.Signature
}

// sign signs what arrived with the account's key, as Azure documents it.
func (s *Azure) sign(r *http.Request) string {
	h := r.Header
	lines := []string{
		r.Method, h.Get("Content-Encoding"), h.Get("Content-Language"), "", h.Get("Content-MD5"), h.Get("Content-Type"), "",
		h.Get("If-Modified-Since"), h.Get("If-Match"), h.Get("If-None-Match"), h.Get("If-Unmodified-Since"), h.Get("Range"),
	}
	var own []string
	for name := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			own = append(own, lower+":"+h.Get(name))
		}
	}
	sort.Strings(own)
	lines = append(lines, own...)
	resource := "/" + s.Account + r.URL.EscapedPath()
	var names []string
	for name := range r.URL.Query() {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		resource += "\n" + strings.ToLower(name) + ":" + strings.Join(r.URL.Query()[name], ",")
	}
	key, err := base64.StdEncoding.DecodeString(s.AccountKey)
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join(append(lines, resource), "\n")))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *Azure) refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("x-ms-error-code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(xml.Header + "<Error><Code>" + code + "</Code><Message>quoted-from-server</Message></Error>"))
}

// tag is an ETag as the service has it, without quotes.
func tag(etag string) string { return "0x" + strings.ToUpper(etag[:min(15, len(etag))]) }

func (s *Azure) list(w http.ResponseWriter, query url.Values) {
	limit, err := strconv.Atoi(query.Get("maxresults"))
	if err != nil || limit > 5000 {
		limit = 5000
	}
	type properties struct {
		Etag   string `xml:"Etag"`
		Length int    `xml:"Content-Length"`
		MD5    string `xml:"Content-MD5,omitempty"`
	}
	type entry struct {
		Name       string
		Properties properties
	}
	items, next := s.page(query.Get("prefix"), query.Get("marker"), limit)
	result := struct {
		XMLName xml.Name `xml:"EnumerationResults"`
		Blobs   struct {
			Blob []entry
		}
		NextMarker string
	}{NextMarker: next}
	for _, i := range items {
		o, _ := s.Shelf.get(i.key)
		sum := md5.Sum([]byte(o.Content)) //nolint:gosec // what the service lists
		result.Blobs.Blob = append(result.Blobs.Blob, entry{i.key, properties{
			tag(i.etag), i.size, base64.StdEncoding.EncodeToString(sum[:]),
		}})
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write([]byte(xml.Header))
	_ = xml.NewEncoder(w).Encode(result)
}

func (s *Azure) get(w http.ResponseWriter, r *http.Request, key string) {
	o, ok := s.Shelf.get(key)
	etag := `"` + tag(o.etag()) + `"`
	switch match := r.Header.Get("If-Match"); {
	case !ok:
		s.refuse(w, http.StatusNotFound, "BlobNotFound")
	case match != "" && match != etag:
		s.refuse(w, http.StatusPreconditionFailed, "ConditionNotMet")
	default:
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Length", strconv.Itoa(len(o.Content)))
		_, _ = w.Write([]byte(o.Content))
	}
}
