package controller_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/signtest"
)

// identityPEM is a new certificate for 127.0.0.1, signed by itself, and its key.
func identityPEM(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"example.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// mutual starts a server that wants to see a certificate, and returns its authority.
func mutual(t *testing.T, s *helmServer, wanted string) (authority string) {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(wanted)) {
		t.Fatal("no certificate")
	}
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// TestHelmExamples: each example in charts/sluice/examples/sources makes a chart, once its addresses and its Secrets are real ones.
// Those that log in to clouds are in the package helmchart, since no cloud is here.
func TestHelmExamples(t *testing.T) {
	t.Parallel()
	const password = "canary-of-an-example"
	podinfo := map[string]string{"values.yaml": "a: 1\n", "values-prod.yaml": "a: 2\n"}
	public, basic, withTLS := newHelmServer(t), newHelmServer(t), unstartedHelmServer(t)
	for _, s := range []*helmServer{public, basic, withTLS} {
		s.publish(t, "podinfo", "6.1.0", podinfo)
		s.publish(t, "podinfo", "7.0.0", podinfo)
	}
	basic.set(func() { basic.user, basic.password = "flux", password })
	certificate, key := identityPEM(t)
	authority := mutual(t, withTLS, certificate)
	open, private := newChartRegistry(t, "", ""), newChartRegistry(t, "flux", password)
	packaged := packageChart(t, t.TempDir(), "podinfo", "6.1.0", podinfo)
	digest := open.push(t, "charts/podinfo", "6.1.0", packaged, plan.ChartLayerMediaType)
	private.push(t, "charts/podinfo", "6.1.0", packaged, plan.ChartLayerMediaType)
	signer, err := signtest.Bundle(digest)
	if err != nil {
		t.Fatal(err)
	}
	repo := gittest.New(t).Repo(t, "app")
	commit := repo.Commit("add chart", map[string]string{
		"charts/app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies:\n" + depending("podinfo", "6.x", basic.URL+"/stable"),
	})
	for file, tc := range map[string]struct {
		url     string
		secrets map[string]string
		version string
	}{
		"helm-http.yaml":              {url: public.URL, version: "6.1.0+1"},
		"helm-basic.yaml":             {url: basic.URL, secrets: map[string]string{"password": password}, version: "6.1.0"},
		"helm-mtls.yaml":              {url: withTLS.URL, secrets: map[string]string{"ca.crt": authority, "tls.crt": certificate, "tls.key": key}, version: "6.1.0"},
		"helm-oci.yaml":               {url: "oci://" + open.host + "/charts", version: "6.1.0"},
		"helm-oci-docker-config.yaml": {url: "oci://" + private.host + "/charts", secrets: map[string]string{".dockerconfigjson": `{"auths":{"` + private.host + `":{"username":"flux","password":"` + password + `"}}}`}, version: "6.1.0"},
		"helm-oci-verified.yaml":      {url: "oci://" + open.host + "/charts", secrets: map[string]string{"cosign.pub": string(signer)}, version: "6.1.0"},
		"helm-git-dependencies.yaml":  {url: basic.URL + "/stable", secrets: map[string]string{"password": password}, version: "1.0.0+" + commit[:12]},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			var chart *sourcev1.HelmChart
			ns := namespace(t)
			for _, obj := range readExample(t, file) {
				obj.SetNamespace(ns)
				switch o := obj.(type) {
				case *corev1.Secret:
					for key, value := range tc.secrets {
						o.StringData[key] = value
					}
				case *sourcev1.HelmRepository:
					o.Spec.URL, o.Spec.Insecure = tc.url, o.Spec.Type == "oci"
				case *sourcev1.GitRepository:
					o.Spec.URL = repo.URL
				case *sourcev1.HelmChart:
					chart = o
				}
				if err := shared.Create(t.Context(), obj); err != nil {
					t.Fatal(err)
				}
			}
			until(t, chart, chartAt(chart, tc.version))
		})
	}
}

// readExample is what a file in charts/sluice/examples/sources has.
func readExample(t *testing.T, file string) (objects []client.Object) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "charts", "sluice", "examples", "sources", file))
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var meta struct{ Kind string }
		if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
			t.Fatal(err)
		}
		var obj client.Object
		switch meta.Kind {
		case "Secret":
			obj = &corev1.Secret{}
		case "HelmRepository":
			obj = &sourcev1.HelmRepository{}
		case "HelmChart":
			obj = &sourcev1.HelmChart{}
		case "GitRepository":
			obj = &sourcev1.GitRepository{}
		default:
			t.Fatalf("%s has a %q", file, meta.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(document), obj); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, obj)
	}
	return objects
}
