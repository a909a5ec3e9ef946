package bucket_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/aws/aws-sdk-go-v2/aws"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/oauth2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	buckets "github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/buckettest"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// example is what a file in charts/sluice/examples/sources has: a Bucket, and the Secrets that it names.
type example struct {
	bucket  sourcev1.Bucket
	secrets map[string]*corev1.Secret
}

func readExample(t *testing.T, file string) *example {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e := &example{secrets: map[string]*corev1.Secret{}}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		switch {
		case strings.Contains(document, "\nkind: Secret\n"):
			var s corev1.Secret
			if err := yaml.UnmarshalStrict([]byte(document), &s); err != nil {
				t.Fatal(err)
			}
			s.Data = map[string][]byte{}
			for key, value := range s.StringData {
				s.Data[key] = []byte(value)
			}
			e.secrets[s.Name] = &s
		case strings.Contains(document, "\nkind: Bucket\n"):
			if err := yaml.UnmarshalStrict([]byte(document), &e.bucket); err != nil {
				t.Fatal(err)
			}
		}
	}
	return e
}

// Get implements [client.Reader] for Secrets.
func (e *example) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	found, ok := e.secrets[key.Name]
	if to, isSecret := into.(*corev1.Secret); ok && isSecret {
		found.DeepCopyInto(to)
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
}

// List implements [client.Reader].
func (*example) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nobody lists Secrets")
}

// fill replaces what the example's Secrets hold, key by key.
func (e *example) fill(values map[string]string) {
	for _, s := range e.secrets {
		for key := range s.Data {
			if value, ok := values[key]; ok {
				s.Data[key] = []byte(value)
			}
		}
	}
}

// world is what there is beyond the cluster: it says where a host really is, and gives out identities.
type world struct {
	address string
	// hosts are elsewhere. tls is set for servers that speak TLS themselves; the others get what was meant to be encrypted.
	hosts map[string]string
	tls   bool
	// asked is who asked a cloud for an identity.
	asked []identity.Subject
}

func (w *world) Transport(peer wire.Peer) (*http.Transport, func()) {
	t, done := wire.NewPool().Transport(wire.Peer{TLS: peer.TLS})
	dial := func(ctx context.Context, network, host string) (net.Conn, error) {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			return nil, err
		}
		if elsewhere, ok := w.hosts[name]; ok {
			return (&net.Dialer{}).DialContext(ctx, network, elsewhere)
		}
		return (&net.Dialer{}).DialContext(ctx, network, w.address)
	}
	t.DialContext = dial
	t.DialTLSContext = func(ctx context.Context, network, host string) (net.Conn, error) {
		conn, err := dial(ctx, network, host)
		if err != nil || !w.tls {
			return conn, err
		}
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), nil
	}
	return t, func() {
		done()
		t.CloseIdleConnections()
	}
}

// Forget implements [bucket.Clouds].
func (*world) Forget(string, string, string) {}

func (w *world) AWS(_ context.Context, s identity.Subject, region string) (aws.CredentialsProvider, error) {
	w.asked = append(w.asked, s)
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		if region == "" {
			return aws.Credentials{}, errors.New("no region")
		}
		return aws.Credentials{AccessKeyID: "cloud", SecretAccessKey: "cloud-secret", SessionToken: "cloud-session"}, nil
	}), nil
}

func (w *world) GCP(_ context.Context, s identity.Subject) (oauth2.TokenSource, error) {
	w.asked = append(w.asked, s)
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "canary-token"}), nil
}

type azureToken string

func (a azureToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(a), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func (w *world) Azure(_ context.Context, s identity.Subject) (azcore.TokenCredential, error) {
	w.asked = append(w.asked, s)
	return azureToken("canary-token"), nil
}

var content = map[string]string{"apps/a.yaml": "a", "apps/b.md": "b"}

// s3 is where the examples of S3 are.
func (w *world) s3(t *testing.T, e *example) {
	server := buckettest.NewS3(t, "fleet")
	server.Put(content)
	server.Region = "eu-central-1"
	w.address = server.Host()
	if strings.Contains(e.bucket.Name, "aws") {
		// Amazon's buckets are names before its own.
		w.address = host(t, func(rw http.ResponseWriter, r *http.Request) {
			r.URL.Path = "/fleet" + r.URL.Path
			server.Config.Handler.ServeHTTP(rw, r)
		})
	}
	if e.bucket.Spec.SecretRef != nil {
		e.fill(map[string]string{"accesskey": "ada", "secretkey": "secret"})
	}
	if e.bucket.Name == "ldap" {
		sts := buckettest.NewSTS(t)
		keys := buckettest.Keys{Access: "session", Secret: "session-secret", Session: "token"}
		server.Allow(keys)
		sts.Give(keys, time.Now().Add(time.Hour))
		w.hosts = map[string]string{"minio.example.com": buckettest.Host(sts.URL), "store.example.com": w.address}
		e.bucket.Spec.Endpoint = "store.example.com:9000"
		e.fill(map[string]string{"username": sts.Username, "password": sts.Password})
	}
	if e.bucket.Spec.SecretRef != nil && e.bucket.Name == "keys" {
		server.Allow(buckettest.Keys{Access: "ada", Secret: "secret"})
	}
}

func (w *world) google(t *testing.T, e *example) {
	server := buckettest.NewGCS(t, "fleet")
	server.Put(content)
	server.Accept("canary-token")
	w.address = buckettest.Host(server.URL)
	e.fill(map[string]string{"serviceaccount": string(server.Key())})
}

func (w *world) azure(t *testing.T, e *example) {
	server := buckettest.NewAzure(t, "fleet")
	server.Put(content)
	server.Account = "account"
	w.address, w.tls = buckettest.Host(server.URL), true
	w.hosts = map[string]string{"169.254.169.254": host(t, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(rw, `{"access_token":%q,"expires_in":"3600","resource":"https://storage.azure.com","token_type":"Bearer"}`, server.Token)
	})}
	e.fill(map[string]string{"accountKey": server.AccountKey, "sasKey": "sig=canary%2Bsignature%2F%3D", "clientSecret": server.Secret})
}

func host(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// TestExamples: every example makes an artifact, with its own spec and the keys of its own Secrets, from servers that check
// what they are shown.
func TestExamples(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob("../../../../charts/sluice/examples/sources/bucket-*.yaml")
	if err != nil || len(found) < 16 {
		t.Fatalf("%d examples, %v", len(found), err)
	}
	for _, file := range found {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			e, w := readExample(t, file), &world{}
			var connections bucket.Connections = w
			switch e.bucket.Spec.Provider {
			case sourcev1.BucketProviderGoogle:
				w.google(t, e)
			case sourcev1.BucketProviderAzure:
				w.azure(t, e)
			default:
				w.s3(t, e)
			}
			if e.bucket.Name == "tls" {
				connections = wire.NewPool()
				e.behindProxy(t)
			}
			out := attemptOf(t, e, w, connections)
			if out.Problem != nil || !out.Stored || !out.Made {
				t.Fatalf("%+v", out.Problem)
			}
			identified := e.bucket.Spec.SecretRef == nil && e.bucket.Spec.Provider != sourcev1.BucketProviderGeneric
			if (len(w.asked) > 0) != identified {
				t.Errorf("a cloud was asked for an identity of %v", w.asked)
			}
			for _, s := range w.asked {
				if s.ServiceAccount != e.bucket.Spec.ServiceAccountName || s.Name != e.bucket.Name {
					t.Errorf("identity of %+v", s)
				}
			}
		})
	}
}

// behindProxy puts a server with an authority of its own behind a proxy.
func (e *example) behindProxy(t *testing.T) {
	server := buckettest.NewS3TLS(t, "fleet")
	server.Put(content)
	e.bucket.Spec.Endpoint = "example.com:9000"
	proxy := host(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "example.com:9000" {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		up, err := net.Dial("tcp", server.Host())
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		rw.WriteHeader(http.StatusOK)
		down, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			_ = up.Close()
			return
		}
		go func() {
			_, _ = io.Copy(up, down)
			_ = up.Close()
		}()
		_, _ = io.Copy(down, up)
		_ = down.Close()
	})
	e.fill(map[string]string{"ca.crt": string(buckettest.CA(server.Server)), "address": "http://" + proxy})
}

func attemptOf(t *testing.T, e *example, w *world, connections bucket.Connections) attempt.Outcome[*sourcev1.Bucket] {
	t.Helper()
	files, err := store.Open(t.TempDir(), store.Options{Address: "source.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	records, err := buckets.OpenRecords(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &bucket.Reconciler{
		Runner:  attempt.Runner[*sourcev1.Bucket]{Store: files, Clock: time.Now},
		Secrets: secret.Reader{Live: e}, Clouds: w, Connections: connections, Kept: &buckets.Kept{}, Records: records,
		Limits: buckets.Limits{Files: 100, Bytes: 1 << 20},
	}
	e.bucket.UID = "uid"
	return r.Attempt(t.Context(), &e.bucket, plan.Observed{})
}

// TestNothingOfThisMachineIsUsed: what this process or its node has is for clouds alone, and of the provider generic nobody
// else's than a Secret's is sent.
func TestNothingOfThisMachineIsUsed(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "ambient", "AWS_SECRET_ACCESS_KEY": "canary", "MINIO_ACCESS_KEY": "ambient", "MINIO_SECRET_KEY": "canary",
		"MINIO_ROOT_USER": "ambient", "MINIO_ROOT_PASSWORD": "canary", "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere", "AZURE_CLIENT_SECRET": "canary",
	} {
		t.Setenv(name, value)
	}
	var headers []http.Header
	address := host(t, func(rw http.ResponseWriter, r *http.Request) {
		headers = append(headers, r.Header.Clone())
		buckettest.Refuse(rw, http.StatusForbidden, "AccessDenied")
	})
	w := &world{address: address}
	e := readExample(t, "../../../../charts/sluice/examples/sources/bucket-public.yaml")
	if out := attemptOf(t, e, w, w); out.Problem == nil || !strings.Contains(out.Problem.Message, "set spec.secretRef") {
		t.Errorf("%+v", out.Problem)
	}
	for _, h := range headers {
		if h.Get("Authorization") != "" || h.Get("X-Amz-Security-Token") != "" {
			t.Errorf("sent %v", slices.Sorted(maps.Keys(h)))
		}
	}
	if len(headers) == 0 || len(w.asked) > 0 {
		t.Errorf("%d requests, clouds were asked by %v", len(headers), w.asked)
	}
}
