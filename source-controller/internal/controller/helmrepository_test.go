package controller_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func indexAt(obj *sourcev1.HelmRepository, index string) func() error {
	sum := sha256.Sum256([]byte(index))
	return func() error {
		if err := isReady(obj); err != nil {
			return err
		}
		if want := "sha256:" + hex.EncodeToString(sum[:]); !obj.Status.Artifact.HasRevision(want) {
			return fmt.Errorf("at %+v, want %s", obj.Status.Artifact, want)
		}
		return nil
	}
}

// makeSecret creates a Secret in a namespace.
func makeSecret(t *testing.T, namespace, name string, data map[string]string) *corev1.Secret {
	t.Helper()
	obj := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: data}
	if err := shared.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func TestHelmRepositoryFollowsItsIndex(t *testing.T) {
	t.Parallel()
	server := newHelmServer(t)
	server.publish(t, "demo", "1.0.0", nil)
	obj := createRepository(t, server.URL, nil)
	until(t, obj, indexAt(obj, server.index(t)))
	a := obj.Status.Artifact
	want := fmt.Sprintf("helmrepository/%s/charts/index-%s.yaml", obj.Namespace, strings.TrimPrefix(a.Revision, "sha256:"))
	if a.Path != want || a.Digest != a.Revision || obj.Status.URL == "" {
		t.Errorf("artifact %+v, want %s, url %q", a, want, obj.Status.URL)
	}
	if got := string(get(t, a.URL, http.StatusOK)); got != server.index(t) {
		t.Errorf("it serves %q", got)
	}
	for _, kind := range []string{meta.ReadyCondition, sourcev1.ArtifactInStorageCondition} {
		if err := hasCondition(obj, kind, metav1.ConditionTrue, "Succeeded", "stored artifact: revision '"+a.Revision+"'"); err != nil {
			t.Error(err)
		}
	}
	expectEvent(t, obj, corev1.EventTypeNormal, "NewArtifact", "stored fetched index of size "+fmt.Sprintf("%dB", *a.Size))

	server.publish(t, "demo", "1.1.0", nil)
	request(t, obj)
	if err := indexAt(obj, server.index(t))(); err != nil {
		t.Error(err)
	}
	server.set(func() {
		server.answer = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
	})
	request(t, obj)
	if err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "Failed", "answers HTTP 500"); err != nil {
		t.Error(err)
	}
	get(t, obj.Status.Artifact.URL, http.StatusOK) // the last good one stays
	server.set(func() { server.answer = nil })
	until(t, obj, indexAt(obj, server.index(t)))
	if err := shared.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	gone(t, obj)
	get(t, obj.Status.Artifact.URL, http.StatusNotFound)
}

// TestHelmPollWithoutChangeIsOneRequestAndNoWrite: neither the repository nor its charts do any work while there is none.
func TestHelmPollWithoutChangeIsOneRequestAndNoWrite(t *testing.T) {
	t.Parallel()
	server := newHelmServer(t)
	server.publish(t, "demo", "1.0.0", nil)
	obj := createRepository(t, server.URL, nil)
	chart := createListed(t, obj, "demo", "1.x", nil)
	until(t, obj, indexAt(obj, server.index(t)))
	until(t, chart, chartAt(chart, "1.0.0"))
	if got := server.seen(); got != "200 index.yaml, 200 demo-1.0.0.tgz" {
		t.Errorf("the first requests: %s", got)
	}
	before := obj.DeepCopy()
	request(t, obj)
	if got := server.seen(); got != "304 index.yaml" {
		t.Errorf("requests of a poll: %s", got)
	}
	// The request itself is an annotation, and what handled it.
	before.Status.LastHandledReconcileAt = obj.Status.LastHandledReconcileAt
	if !equality.Semantic.DeepEqual(before.Status, obj.Status) {
		t.Errorf("the status was %+v, is %+v", before.Status, obj.Status)
	}
	request(t, chart)
	if got := server.seen(); got != "" {
		t.Errorf("requests of a chart's poll: %s", got)
	}
	// An index with another version that is not asked for makes nothing anew.
	digest := chart.Status.Artifact.Digest
	server.publish(t, "demo", "2.0.0", nil)
	request(t, obj)
	until(t, chart, func() error {
		if chart.Status.ObservedSourceArtifactRevision != obj.Status.Artifact.Revision {
			return fmt.Errorf("looked at %s", chart.Status.ObservedSourceArtifactRevision)
		}
		return nil
	})
	if got := server.seen(); got != "200 index.yaml" || chart.Status.Artifact.Digest != digest {
		t.Errorf("requests: %s, artifact %+v", got, chart.Status.Artifact)
	}
}

func TestHelmRepositoryFailuresAreExplained(t *testing.T) {
	t.Parallel()
	server := newHelmServer(t)
	server.publish(t, "demo", "1.0.0", nil)
	whole := server.index(t)
	serving := func(text string) string {
		s := newHelmServer(t)
		s.writeIndex(t, text)
		return s.URL
	}
	ns := namespace(t)
	makeSecret(t, ns, "empty", map[string]string{"other": "canary"})
	makeSecret(t, ns, "login", map[string]string{"username": "ada", "password": "canary\n"})
	makeSecret(t, ns, "nocert", map[string]string{"tls.crt": "canary", "tls.key": "canary"})
	for name, tc := range map[string]struct {
		url    string
		change func(*sourcev1.HelmRepositorySpec)
		reason string
		text   string
		stalls bool
	}{
		"a registry":       {url: "oci://host/x", reason: "URLInvalid", text: "set spec.type to oci", stalls: true},
		"a user":           {url: strings.Replace(server.URL, "http://", "http://ada:canary@", 1), reason: "URLInvalid", text: "move the credentials to the Secret", stalls: true},
		"no such path":     {url: newHelmServer(t).URL, reason: "Failed", text: "does not have index.yaml (HTTP 404)"},
		"a page":           {url: serving("<html>canary</html>"), reason: "IndexationFailed", text: "it is not YAML with charts in it"},
		"cut off":          {url: serving(whole[:len(whole)/2]), reason: "IndexationFailed", text: "the index is cut off"},
		"S-14, too large":  {url: serving(whole + strings.Repeat("# canary\n", 200_000)), reason: "Failed", text: "raise --helm-index-max-size"},
		"no Secret":        {url: server.URL, change: secretNamed("absent"), reason: "AuthenticationFailed", text: "does not exist"},
		"an empty Secret":  {url: server.URL, change: secretNamed("empty"), reason: "AuthenticationFailed", text: "neither username and password"},
		"a wrong password": {url: server.URL, change: secretNamed("login"), reason: "AuthenticationFailed", text: "password in the Secret of spec.secretRef ends with white space"},
		"no certificate":   {url: server.URL, change: func(s *sourcev1.HelmRepositorySpec) { s.CertSecretRef = ref("nocert") }, reason: "AuthenticationFailed", text: "not a certificate and its key"},
		"F34, nobody":      {url: "http://127.0.0.1:1", reason: "Failed", text: "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := createRepository(t, tc.url, func(o *sourcev1.HelmRepository) {
				if o.Namespace, o.Name = ns, "r-"+hex.EncodeToString([]byte(name)); tc.change != nil {
					tc.change(&o.Spec)
				}
			})
			until(t, obj, func() error { return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, tc.reason, tc.text) })
			if err := hasCondition(obj, sourcev1.FetchFailedCondition, metav1.ConditionTrue, tc.reason, ""); err != nil {
				t.Error(err)
			}
			if stalled := hasCondition(obj, meta.StalledCondition, metav1.ConditionTrue, tc.reason, ""); (stalled == nil) != tc.stalls {
				t.Errorf("stalled: %v", stalled)
			}
		})
	}
}

func ref(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }

func secretNamed(name string) func(*sourcev1.HelmRepositorySpec) {
	return func(s *sourcev1.HelmRepositorySpec) { s.SecretRef = ref(name) }
}

// TestBrokenEntryOfAnIndex: it is left out and told; every other chart can be had.
func TestBrokenEntryOfAnIndex(t *testing.T) {
	t.Parallel()
	server := newHelmServer(t)
	server.publish(t, "demo", "1.0.0", nil)
	server.writeIndex(t, strings.Replace(server.index(t), "entries:\n", "entries:\n  broken:\n  - name: [broken\n", 1))
	obj := createRepository(t, server.URL, nil)
	good, bad := createListed(t, obj, "demo", "", nil), createListed(t, obj, "broken", "", nil)
	until(t, good, chartAt(good, "1.0.0"))
	until(t, bad, func() error {
		return hasCondition(bad, meta.ReadyCondition, metav1.ConditionFalse, "InvalidChartReference", "the index has none of it that can be used")
	})
	told := `; left out of the index: "broken" in line 4: it is not valid YAML`
	until(t, obj, func() error { return hasCondition(obj, meta.ReadyCondition, metav1.ConditionTrue, "Succeeded", told) })
	request(t, obj)
	if err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionTrue, "Succeeded", told); err != nil {
		t.Errorf("after a poll: %v", err)
	}
}

// TestHelmRepositoryInARegistryIsStatic: there is nothing to reconcile about it, and nothing is left of what there was.
func TestHelmRepositoryInARegistryIsStatic(t *testing.T) {
	t.Parallel()
	server := newHelmServer(t)
	server.publish(t, "demo", "1.0.0", nil)
	obj := createRepository(t, server.URL, nil)
	until(t, obj, indexAt(obj, server.index(t)))
	url := obj.Status.Artifact.URL
	patch := client.MergeFrom(obj.DeepCopy())
	obj.Spec.Type, obj.Spec.URL = "oci", "oci://registry.example.com/charts"
	if err := shared.Patch(t.Context(), obj, patch); err != nil {
		t.Fatal(err)
	}
	until(t, obj, func() error {
		if len(obj.Finalizers) > 0 || obj.Status.Artifact != nil || len(obj.Status.Conditions) > 0 || obj.Status.URL != "" {
			return fmt.Errorf("it still has %v, %+v", obj.Finalizers, obj.Status)
		}
		return nil
	})
	get(t, url, http.StatusNotFound)
	if err := shared.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	gone(t, obj)
}
