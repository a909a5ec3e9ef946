package ocirepository

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/source-controller/internal/ocitest"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/artifact"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/signtest"
)

// example is what a file in charts/sluice/examples/sources has: an OCIRepository, and what it names.
type example struct {
	obj      sourcev1.OCIRepository
	secrets  []*corev1.Secret
	accounts []*corev1.ServiceAccount
	// url is the address as it is written: the example's registry is the test's, by the example's name for it where TLS or a
	// proxy allow.
	url string
}

func readExample(t *testing.T, file string) *example {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e := &example{}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var into any
		switch {
		case strings.Contains(document, "\nkind: OCIRepository\n") || strings.HasPrefix(document, "kind: OCIRepository"):
			into = &e.obj
		case strings.Contains(document, "\nkind: Secret\n"):
			e.secrets = append(e.secrets, &corev1.Secret{})
			into = e.secrets[len(e.secrets)-1]
		case strings.Contains(document, "\nkind: ServiceAccount\n"):
			e.accounts = append(e.accounts, &corev1.ServiceAccount{})
			into = e.accounts[len(e.accounts)-1]
		default:
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range e.secrets {
		s.Data = map[string][]byte{}
		for key, value := range s.StringData {
			s.Data[key] = []byte(value)
		}
	}
	e.obj.UID, e.obj.Generation, e.url = "1", 1, e.obj.Spec.URL
	return e
}

// put replaces what a Secret of the example holds; it has to hold that.
func (e *example) put(t *testing.T, key string, value []byte) {
	t.Helper()
	for _, s := range e.secrets {
		if _, ok := s.Data[key]; ok {
			s.Data[key] = value
			return
		}
	}
	t.Fatalf("no Secret of the example has %s", key)
}

// rename writes another host where the example's registry is meant.
func (e *example) rename(host string) {
	was, _, _ := strings.Cut(strings.TrimPrefix(e.url, "oci://"), "/")
	e.obj.Spec.URL = strings.Replace(e.url, was, host, 1)
	for _, s := range e.secrets {
		if config, ok := s.Data[corev1.DockerConfigJsonKey]; ok {
			s.Data[corev1.DockerConfigJsonKey] = []byte(strings.Replace(string(config), was, host, 1))
		}
	}
}

// bed is what an example is tried in.
type bed struct {
	*example
	*bench
	reg    *ocitest.Registry
	digest string
	// tag is what is pushed.
	tag      string
	artifact ocitest.Artifact
}

func newBed(t *testing.T, file string, reg *ocitest.Registry) *bed {
	t.Helper()
	b := &bed{example: readExample(t, file), bench: newBench(t, pack.Limits{Bytes: 1 << 20, Files: 100}), reg: reg, tag: "latest"}
	b.artifact = ocitest.Flux(gzipped(t, tarball(t, honest...)), nil)
	if ref := b.obj.Spec.Reference; ref != nil {
		b.tag = ref.Tag
		if ref.SemVer != "" {
			b.tag = "6.9.1"
		}
	}
	return b
}

func (b *bed) push(t *testing.T) {
	t.Helper()
	_, repo, _ := strings.Cut(strings.TrimPrefix(b.url, "oci://"), "/")
	b.digest = b.reg.Push(t, repo, b.tag, b.artifact)
}

func (b *bed) ref(t *testing.T) name.Digest {
	t.Helper()
	_, repo, _ := strings.Cut(strings.TrimPrefix(b.url, "oci://"), "/")
	ref, err := name.NewDigest(b.reg.Host() + "/" + repo + "@" + b.digest)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (b *bed) try(t *testing.T) Outcome {
	t.Helper()
	var known []client.Object
	for _, s := range b.secrets {
		known = append(known, s)
	}
	for _, a := range b.accounts {
		known = append(known, a)
	}
	b.Secrets = secret.Reader{Live: fake.NewClientBuilder().WithObjects(known...).Build()}
	b.Signatures = &artifact.Verifier{Secrets: b.Secrets}
	return b.attempt(t.Context(), &b.obj)
}

// plain tries an example with a registry on plain HTTP; before prepares it when the artifact is there.
func plain(before func(t *testing.T, b *bed)) func(t *testing.T, file string) (*bed, Outcome) {
	return func(t *testing.T, file string) (*bed, Outcome) {
		t.Helper()
		b := newBed(t, file, ocitest.New(t))
		b.obj.Spec.Insecure = true
		b.push(t)
		b.rename(b.reg.Host())
		if before != nil {
			before(t, b)
		}
		return b, b.try(t)
	}
}

// cloud tries an example of a cloud, which gives the login that the registry wants.
func cloud(asks string) func(t *testing.T, file string) (*bed, Outcome) {
	var asked clouds
	return func(t *testing.T, file string) (*bed, Outcome) {
		t.Helper()
		b, out := plain(func(_ *testing.T, b *bed) {
			b.reg.Basic("AWS", "canary-cloud")
			asked = clouds{login: secret.Login{Username: "AWS", Password: "canary-cloud"}}
			b.Clouds = &asked
		})(t, file)
		if len(asked.asked) != 1 || !strings.HasPrefix(asked.asked[0], asks) {
			t.Errorf("the cloud was asked %q, want %q", asked.asked, asks)
		}
		return b, out
	}
}

// TestOCIExamples: what an example says makes an artifact.
func TestOCIExamples(t *testing.T) {
	t.Parallel()
	tries := map[string]func(t *testing.T, file string) (*bed, Outcome){
		"oci-anonymous.yaml":       plain(nil),
		"oci-docker-config.yaml":   plain(func(_ *testing.T, b *bed) { b.reg.Basic("robot", "a-token-that-may-read") }),
		"oci-service-account.yaml": plain(func(_ *testing.T, b *bed) { b.reg.Basic("robot", "a-token-that-may-read") }),
		"oci-aws.yaml":             cloud(`aws for flux-system/aws as "" of `),
		"oci-azure.yaml":           cloud(`azure for flux-system/azure as "acr-reader" of `),
		"oci-gcp.yaml":             cloud(`gcp for flux-system/gcp as "" of `),
		"oci-mtls.yaml":            mutual,
		"oci-proxy.yaml":           proxied,
		"oci-helm-chart.yaml":      chart,
		"oci-cosign-key.yaml": plain(func(t *testing.T, b *bed) {
			public, err := signtest.Bundle(b.ref(t))
			if err != nil {
				t.Fatal(err)
			}
			b.put(t, "release.pub", public)
		}),
		"oci-notation.yaml": plain(func(t *testing.T, b *bed) {
			authority, err := signtest.Notation(t.Context(), b.ref(t))
			if err != nil {
				t.Fatal(err)
			}
			b.put(t, "authority.crt", authority)
		}),
		"oci-cosign-keyless.yaml": nil, // see below
	}
	found, err := filepath.Glob("../../../../charts/sluice/examples/sources/oci-*.yaml")
	if err != nil || len(found) != len(tries) {
		t.Fatalf("%d examples, and %d are tried (%v)", len(found), len(tries), err)
	}
	for _, file := range found {
		try, ok := tries[filepath.Base(file)]
		if !ok {
			t.Errorf("%s is not tried", file)
		}
		if try == nil {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b, out := try(t, file)
			if out.Problem != nil {
				t.Fatal(out.Problem)
			}
			if want := b.tag + "@" + b.digest; out.Artifact.Revision != want {
				t.Errorf("revision %s, want %s", out.Artifact.Revision, want)
			}
			if (out.Verified != nil) != (b.obj.Spec.Verify != nil) {
				t.Errorf("verified: %+v", out.Verified)
			}
		})
	}
}

// TestOCIKeylessExample: what nobody signed is not taken. What the public instance of Sigstore vouches for is tested beside
// cosign, with signatures of that.
func TestOCIKeylessExample(t *testing.T) {
	t.Parallel()
	_, out := plain(nil)(t, "../../../../charts/sluice/examples/sources/oci-cosign-keyless.yaml")
	if p := out.Problem; p == nil || p.Condition != sourcev1.SourceVerifiedCondition || p.Reason != sourcev1.VerificationError || out.Step != plan.Fail {
		t.Errorf("%+v", p)
	}
}

// mutual tries an example with a registry that wants a certificate.
func mutual(t *testing.T, file string) (*bed, Outcome) {
	t.Helper()
	reg := ocitest.NewTLS(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	})
	reg.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if len(r.TLS.PeerCertificates) == 0 {
			w.WriteHeader(http.StatusForbidden)
		}
		return len(r.TLS.PeerCertificates) == 0
	})
	b := newBed(t, file, reg)
	b.push(t)
	b.rename(reg.Host())
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: reg.Certificate().Raw})
	b.put(t, "ca.crt", block)
	certificate, key := pair(t)
	b.put(t, "tls.crt", certificate)
	b.put(t, "tls.key", key)
	return b, b.try(t)
}

// proxied tries an example whose registry only the proxy reaches.
func proxied(t *testing.T, file string) (*bed, Outcome) {
	t.Helper()
	b := newBed(t, file, ocitest.New(t))
	b.push(t)
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("proxy-user:proxy-password"))
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != want || r.Method == http.MethodConnect {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		forward(r.Context(), w, r, b.reg.Listener.Addr())
	}))
	t.Cleanup(proxy.Close)
	b.put(t, "address", []byte(proxy.URL))
	return b, b.try(t)
}

func forward(ctx context.Context, w http.ResponseWriter, r *http.Request, to net.Addr) {
	out := r.Clone(ctx)
	out.RequestURI, out.URL.Host = "", to.String()
	res, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = res.Body.Close() }()
	for key, values := range res.Header {
		w.Header()[key] = values
	}
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

// chart tries an example of a Helm chart: the artifact is what was pushed.
func chart(t *testing.T, file string) (*bed, Outcome) {
	t.Helper()
	b := newBed(t, file, ocitest.New(t))
	b.obj.Spec.Insecure = true
	tgz := gzipped(t, tarball(t, entry{name: "podinfo/Chart.yaml", content: "apiVersion: v2\nname: podinfo\nversion: 6.9.1\n"}))
	b.artifact = ocitest.Chart(tgz)
	b.push(t)
	b.rename(b.reg.Host())
	out := b.try(t)
	if out.Problem == nil && out.Artifact.Digest != digestOf(tgz) {
		t.Errorf("the artifact is %s, not the chart", out.Artifact.Digest)
	}
	return b, out
}
