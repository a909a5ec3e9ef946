package identity_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// claims are those of a token of Kubernetes.
type claims struct {
	Audience []string `json:"aud"`
	Subject  string   `json:"sub"`
}

// assertion reads a token of the cluster's that a cloud is shown; what is none is refused, as the clouds do.
func assertion(token string) (c claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	return c, err == nil && json.Unmarshal(raw, &c) == nil && strings.HasPrefix(c.Subject, "system:serviceaccount:")
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// jwtUntil is a token that says when it ends; nobody looks at its signature.
func jwtUntil(end time.Time) string {
	part := func(v any) string {
		raw, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return part(map[string]string{"alg": "none"}) + "." + part(map[string]int64{"exp": end.Unix()}) + ".CANARY"
}

// aws is AWS STS and ECR, in the region eu-west-1, and for public.ecr.aws in us-east-1.
type aws struct {
	role     string        // that may be assumed
	life     time.Duration // of what is given out
	refusal  string        // the code of STS' refusal, if it refuses
	ecr      string        // the code of ECR's refusal, if it refuses
	sessions atomic.Int32
	subjects chan string // of the tokens that were shown
}

func (a *aws) start(t testing.TB) *aws {
	a.subjects = make(chan string, 100)
	if a.life == 0 {
		a.life = time.Hour
	}
	for _, region := range []string{"eu-west-1", "us-east-1"} {
		outside.serve(t, "sts."+region+".amazonaws.com", a.sts)
	}
	outside.serve(t, "api.ecr.eu-west-1.amazonaws.com", a.private)
	outside.serve(t, "api.ecr-public.us-east-1.amazonaws.com", a.public)
	return a
}

func (a *aws) sts(w http.ResponseWriter, r *http.Request) {
	refuse := func(code string) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code>`+
			`<Message>CANARY %s</Message></Error><RequestId>CANARY</RequestId></ErrorResponse>`, code, r.FormValue("WebIdentityToken"))
	}
	c, ok := assertion(r.FormValue("WebIdentityToken"))
	switch {
	case a.refusal != "":
		refuse(a.refusal)
		return
	case r.FormValue("Action") != "AssumeRoleWithWebIdentity" || !ok || !slices.Contains(c.Audience, "sts.amazonaws.com"):
		refuse("InvalidIdentityToken")
		return
	case r.FormValue("RoleArn") != a.role:
		refuse("AccessDenied")
		return
	}
	a.subjects <- c.Subject
	type credentials struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
	w.Header().Set("Content-Type", "text/xml")
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName     xml.Name    `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
		Credentials credentials `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}{Credentials: credentials{
		AccessKeyId: "ASIACANARY", SecretAccessKey: "CANARY-secret", SessionToken: fmt.Sprint("CANARY-session-", a.sessions.Add(1)),
		Expiration: time.Now().Add(a.life).UTC().Format(time.RFC3339),
	}})
}

// signed reports whether a request is signed with the credentials that STS gave.
func signed(r *http.Request, service string) bool {
	return strings.Contains(r.Header.Get("Authorization"), "Credential=ASIACANARY/") &&
		strings.Contains(r.Header.Get("Authorization"), "/"+service+"/aws4_request") &&
		strings.HasPrefix(r.Header.Get("X-Amz-Security-Token"), "CANARY-session-")
}

func (a *aws) private(w http.ResponseWriter, r *http.Request) {
	switch {
	case a.ecr != "":
		writeJSON(w, http.StatusBadRequest, map[string]string{"__type": a.ecr, "message": "CANARY " + r.Header.Get("Authorization")})
	case r.Header.Get("X-Amz-Target") != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" || !signed(r, "ecr"):
		writeJSON(w, http.StatusBadRequest, map[string]string{"__type": "UnrecognizedClientException"})
	default:
		writeJSON(w, http.StatusOK, map[string]any{"authorizationData": []any{map[string]any{
			"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:CANARY-ecr")), "expiresAt": time.Now().Add(a.life).Unix(),
		}}})
	}
}

func (a *aws) public(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") != "SpencerFrontendService.GetAuthorizationToken" || !signed(r, "ecr-public") {
		writeJSON(w, http.StatusBadRequest, map[string]string{"__type": "UnrecognizedClientException"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"authorizationData": map[string]any{
		"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:CANARY-public")), "expiresAt": time.Now().Add(a.life).Unix(),
	}})
}

// azure is Entra ID, the managed identity of a node, and a registry.
type azure struct {
	tenant, client string
	life           time.Duration
	refusal        string // the code of Entra ID's refusal, if it refuses
	registry       int    // the status of the registry's refusal, if it refuses
	incomplete     bool   // the registry's answer lacks the token
	noNode         bool   // the node has no identity
	tokens         atomic.Int32
	scopes         chan string
}

func (a *azure) start(t testing.TB) *azure {
	a.scopes = make(chan string, 100)
	if a.life == 0 {
		a.life = time.Hour
	}
	outside.serve(t, "login.microsoftonline.com", a.login)
	outside.serve(t, "acme.azurecr.io", a.exchange)
	outside.serve(t, "169.254.169.254", a.node)
	return a
}

func (a *azure) login(w http.ResponseWriter, r *http.Request) {
	base := "https://login.microsoftonline.com/" + a.tenant
	switch {
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		writeJSON(w, http.StatusOK, map[string]any{
			"tenant_discovery_endpoint": base + "/v2.0/.well-known/openid-configuration", "api-version": "1.1",
			"metadata": []any{map[string]any{
				"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net",
				"aliases": []string{"login.microsoftonline.com", "login.windows.net"},
			}},
		})
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		writeJSON(w, http.StatusOK, map[string]string{
			"authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token", "issuer": base + "/v2.0",
		})
	case r.URL.Path == "/"+a.tenant+"/oauth2/v2.0/token":
		a.grant(w, r)
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "CANARY"})
	}
}

func (a *azure) grant(w http.ResponseWriter, r *http.Request) {
	c, ok := assertion(r.FormValue("client_assertion"))
	refusal := a.refusal
	if refusal == "" && (!ok || !slices.Contains(c.Audience, "api://AzureADTokenExchange")) {
		refusal = "AADSTS70021"
	}
	if refusal == "" && r.FormValue("client_id") != a.client {
		refusal = "AADSTS700016"
	}
	if refusal != "" {
		writeJSON(w, http.StatusBadRequest, map[string]any{
			"error": "invalid_client", "error_description": refusal + ": CANARY " + r.FormValue("client_assertion"),
		})
		return
	}
	a.scopes <- r.FormValue("scope")
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": int(a.life.Seconds()), "access_token": fmt.Sprint("CANARY-azure-", a.tokens.Add(1)),
	})
}

func (a *azure) exchange(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/oauth2/exchange" || r.FormValue("service") != "acme.azurecr.io":
		w.WriteHeader(http.StatusNotFound)
	case a.registry != 0:
		writeJSON(w, a.registry, map[string]any{"errors": []any{map[string]string{"message": "CANARY " + r.FormValue("access_token")}}})
	case !strings.HasPrefix(r.FormValue("access_token"), "CANARY-azure-"):
		w.WriteHeader(http.StatusUnauthorized)
	case a.incomplete:
		writeJSON(w, http.StatusOK, map[string]string{})
	default:
		writeJSON(w, http.StatusOK, map[string]string{"refresh_token": jwtUntil(time.Now().Add(a.life))})
	}
}

func (a *azure) node(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/metadata/identity/oauth2/token" || r.Header.Get("Metadata") != "true":
		w.WriteHeader(http.StatusNotFound)
	case a.noNode:
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": "Identity not found CANARY"})
	default:
		a.scopes <- r.FormValue("resource")
		end := time.Now().Add(a.life)
		writeJSON(w, http.StatusOK, map[string]string{
			"access_token": fmt.Sprint("CANARY-azure-", a.tokens.Add(1)), "expires_in": fmt.Sprint(int(a.life.Seconds())),
			"expires_on": fmt.Sprint(end.Unix()), "resource": r.FormValue("resource"), "token_type": "Bearer",
		})
	}
}

// gcp is Google's token exchange, and what impersonates service accounts.
type gcp struct {
	audience string // that is asked for
	account  string // that may be impersonated
	life     time.Duration
	refusal  string // the error of the exchange, if it refuses
	tokens   atomic.Int32
}

func (g *gcp) start(t testing.TB) *gcp {
	if g.life == 0 {
		g.life = time.Hour
	}
	outside.serve(t, "sts.googleapis.com", g.sts)
	outside.serve(t, "iamcredentials.googleapis.com", g.impersonate)
	return g
}

func (g *gcp) sts(w http.ResponseWriter, r *http.Request) {
	c, ok := assertion(r.FormValue("subject_token"))
	refusal := g.refusal
	switch {
	case refusal != "":
	case r.FormValue("audience") != g.audience:
		refusal = "invalid_target"
	case !ok || len(c.Audience) != 1:
		refusal = "invalid_grant"
	}
	if refusal != "" {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": refusal, "error_description": "CANARY " + r.FormValue("subject_token")})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": fmt.Sprint("CANARY-gcp-", g.tokens.Add(1)), "token_type": "Bearer", "expires_in": int(g.life.Seconds()),
		"issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
	})
}

func (g *gcp) impersonate(w http.ResponseWriter, r *http.Request) {
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer CANARY-gcp-"):
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path != "/v1/projects/-/serviceAccounts/"+g.account+":generateAccessToken":
		writeJSON(w, http.StatusForbidden, map[string]any{"error": map[string]any{"code": 403, "message": "CANARY", "status": "PERMISSION_DENIED"}})
	default:
		writeJSON(w, http.StatusOK, map[string]string{
			"accessToken": fmt.Sprint("CANARY-impersonated-", g.tokens.Add(1)), "expireTime": time.Now().Add(g.life).UTC().Format(time.RFC3339),
		})
	}
}

// metadata is the metadata server of a node of GKE. The library asks it once for what does not change, and finds it by its
// environment once, so all tests have the same.
var metadata nodeOfGKE

type nodeOfGKE struct{ tokens atomic.Int32 }

func (n *nodeOfGKE) start() error {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		switch strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/") {
		case "project/project-id":
			fmt.Fprint(w, "acme")
		case "instance/attributes/cluster-location":
			fmt.Fprint(w, "europe-west1")
		case "instance/attributes/cluster-name":
			fmt.Fprint(w, "prod")
		case "instance/service-accounts/default/token":
			writeJSON(w, http.StatusOK, map[string]any{
				"access_token": fmt.Sprint("CANARY-node-", n.tokens.Add(1)), "expires_in": 3600, "token_type": "Bearer",
			})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	return os.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
}

func base64url(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
