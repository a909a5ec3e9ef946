package controller_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/source-controller/internal/buckettest"
)

var ada = buckettest.Keys{Access: "ada", Secret: "canary-bucket-secret"}

// createBucket creates a Bucket of a server; change adapts it first.
func createBucket(t testing.TB, server *buckettest.S3, change func(*sourcev1.Bucket)) *sourcev1.Bucket {
	t.Helper()
	obj := &sourcev1.Bucket{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace(t), Name: "fleet"},
		Spec: sourcev1.BucketSpec{
			Endpoint: server.Host(), BucketName: server.Bucket, Region: server.Region, Insecure: true,
			Interval: metav1.Duration{Duration: time.Hour},
		},
	}
	if change != nil {
		change(obj)
	}
	if err := shared.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func editBucket(t *testing.T, obj *sourcev1.Bucket, change func(*sourcev1.BucketSpec)) {
	t.Helper()
	patch := client.MergeFrom(obj.DeepCopy())
	change(&obj.Spec)
	if err := shared.Patch(t.Context(), obj, patch); err != nil {
		t.Fatal(err)
	}
}

// keep creates or replaces a Secret, and returns a reference to it.
func keep(t testing.TB, namespace, name string, data map[string]string) *meta.LocalObjectReference {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := client.IgnoreNotFound(shared.Delete(t.Context(), secret)); err != nil {
		t.Fatal(err)
	}
	secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: data}
	if err := shared.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	return &meta.LocalObjectReference{Name: name}
}

// holds waits until a Bucket is ready with these files.
func holds(t *testing.T, obj *sourcev1.Bucket, files string) {
	t.Helper()
	until(t, obj, func() error {
		if err := isReady(obj); err != nil {
			return err
		}
		if obj.Status.ObservedGeneration != obj.Generation {
			return fmt.Errorf("observed %d of %d", obj.Status.ObservedGeneration, obj.Generation)
		}
		return nil
	})
	if got := names(download(t, obj.Status.Artifact)); got != files {
		t.Errorf("files %q, want %q", got, files)
	}
}

// failed waits until a Bucket is not ready for a reason, in words.
func failed(t *testing.T, obj *sourcev1.Bucket, reason, text string) {
	t.Helper()
	until(t, obj, func() error {
		if err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, reason, text); err != nil {
			return err
		}
		return hasCondition(obj, sourcev1.FetchFailedCondition, metav1.ConditionTrue, reason, text)
	})
	for _, c := range obj.Status.Conditions {
		if strings.Contains(c.Message, "quoted-from-server") || strings.Contains(c.Message, "canary") {
			t.Errorf("%s shows what it must not: %s", c.Type, c.Message)
		}
	}
}

func TestBucketFollowsItsObjects(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	server.Put(map[string]string{"a/b": "a", "b.yaml": "b", "folder/": ""})
	obj := createBucket(t, server, nil)
	holds(t, obj, "a/b b.yaml")
	// What Flux calls a bucket with these objects.
	const revision = "ae674d0e0af9df87e1430b718907a9ee798e3f32f49a2d5a734be611037efa7d"
	folder := "bucket/" + obj.Namespace + "/fleet/"
	if a := obj.Status.Artifact; a.Revision != "sha256:"+revision || a.Path != folder+revision+".tar.gz" {
		t.Errorf("artifact: %+v", a)
	}
	if want := strings.TrimSuffix(obj.Status.Artifact.URL, revision+".tar.gz") + "latest.tar.gz"; obj.Status.URL != want {
		t.Errorf("status.url %s, want %s", obj.Status.URL, want)
	}
	for _, kind := range []string{meta.ReadyCondition, sourcev1.ArtifactInStorageCondition} {
		if err := hasCondition(obj, kind, metav1.ConditionTrue, meta.SucceededReason, "stored artifact: revision 'sha256:"+revision+"'"); err != nil {
			t.Error(err)
		}
	}
	expectEvent(t, obj, corev1.EventTypeNormal, "NewArtifact", "stored artifact with 2 fetched files from 'fleet' bucket")

	// Of what changes, no more is fetched than what changed.
	server.Take()
	first := obj.Status.Artifact.Digest
	server.Set("c.yaml", buckettest.Object{Content: "c"})
	server.Set("b.yaml", buckettest.Object{Content: "B"})
	request(t, obj)
	holds(t, obj, "a/b b.yaml c.yaml")
	if diff := cmp.Diff(map[string]int{"list": 1, "get": 2}, server.Take()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	// The same content has the same digest, whatever it was made from.
	server.Put(map[string]string{"a/b": "a", "b.yaml": "b", "folder/": ""})
	request(t, obj)
	holds(t, obj, "a/b b.yaml")
	if obj.Status.Artifact.Digest != first {
		t.Errorf("digest %s, was %s", obj.Status.Artifact.Digest, first)
	}
}

func TestBucketPollWithoutChangeIsAListingAndNoWrite(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	server.Allow(ada)
	server.Put(map[string]string{"a": "a", "b": "b", ".sourceignore": "b"})
	obj := createBucket(t, server, func(o *sourcev1.Bucket) {
		o.Spec.Interval.Duration, o.Spec.Region = 200*time.Millisecond, ""
		o.Spec.SecretRef = keep(t, o.Namespace, "keys", map[string]string{"accesskey": ada.Access, "secretkey": ada.Secret})
	})
	holds(t, obj, ".sourceignore a")
	version := obj.ResourceVersion
	server.Take()
	asked := map[string]int{}
	eventually(t, func() error {
		for what, n := range server.Take() {
			asked[what] += n
		}
		if asked["list"] < 4 {
			return fmt.Errorf("asked %v", asked)
		}
		return nil
	})
	if len(asked) != 1 {
		t.Errorf("polls asked %v, want listings alone", asked)
	}
	if err := shared.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil || obj.ResourceVersion != version {
		t.Errorf("the object was written: %s, was %s (%v)", obj.ResourceVersion, version, err)
	}
}

func TestBucketPrefixAndIgnore(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	server.Put(map[string]string{"apps/a.yaml": "a", "apps/b.md": "b", "infra/c.yaml": "c", ".gitignore": "x"})
	obj := createBucket(t, server, nil)
	holds(t, obj, ".gitignore apps/a.yaml apps/b.md infra/c.yaml")
	editBucket(t, obj, func(s *sourcev1.BucketSpec) { s.Prefix = "apps/" })
	holds(t, obj, "apps/a.yaml apps/b.md")
	ignore := "*.md"
	editBucket(t, obj, func(s *sourcev1.BucketSpec) { s.Ignore = &ignore })
	holds(t, obj, "apps/a.yaml")
	if got := obj.Status.ObservedIgnore; got == nil || *got != ignore {
		t.Errorf("observedIgnore %v", got)
	}
	editBucket(t, obj, func(s *sourcev1.BucketSpec) { s.Ignore = nil })
	holds(t, obj, "apps/a.yaml apps/b.md")
	server.Set(".sourceignore", buckettest.Object{Content: "apps/a.yaml"})
	request(t, obj)
	holds(t, obj, ".sourceignore apps/b.md")
}

// TestEmptyBucket: it is stored, as Flux does it, and says that it is empty.
func TestEmptyBucket(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	obj := createBucket(t, server, func(o *sourcev1.Bucket) { o.Spec.Prefix = "aps/" })
	holds(t, obj, "")
	const revision = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionTrue, meta.SucceededReason,
		"stored artifact: revision '"+revision+`' (it is empty: the bucket has no object that is not ignored and starts with spec.prefix "aps/")`); err != nil {
		t.Error(err)
	}
	if obj.Status.Artifact.Revision != revision {
		t.Errorf("artifact %+v", obj.Status.Artifact)
	}
}

// TestBucketFailuresAreExplained: each names what is wrong and what to do, and the last good artifact stays.
func TestBucketFailuresAreExplained(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(t *testing.T, s *sourcev1.BucketSpec, namespace string)
		upset  func(*buckettest.S3)
		reason string
		text   string
		stalls bool
	}{
		"no such bucket": {
			change: func(_ *testing.T, s *sourcev1.BucketSpec, _ string) { s.BucketName = "fleets" },
			reason: "BucketOperationFailed", text: "check spec.bucketName",
		},
		"wrong keys": {
			change: func(t *testing.T, s *sourcev1.BucketSpec, ns string) {
				s.SecretRef = keep(t, ns, "wrong", map[string]string{"accesskey": "ada", "secretkey": "canary-wrong\n"})
			},
			reason: "BucketOperationFailed", text: "no longer valid; secretkey in the Secret of spec.secretRef ends with white space",
		},
		"nobody": {
			change: func(_ *testing.T, s *sourcev1.BucketSpec, _ string) { s.SecretRef = nil },
			reason: "BucketOperationFailed", text: "set spec.secretRef",
		},
		"no Secret": {
			change: func(_ *testing.T, s *sourcev1.BucketSpec, _ string) { s.SecretRef.Name = "missing" },
			reason: "AuthenticationFailed", text: "/missing of spec.secretRef does not exist",
		},
		"half a Secret": {
			change: func(t *testing.T, s *sourcev1.BucketSpec, ns string) {
				s.SecretRef = keep(t, ns, "half", map[string]string{"accesskey": "ada"})
			},
			reason: "AuthenticationFailed", text: "it must have accesskey and secretkey",
		},
		"no authority": {
			change: func(t *testing.T, s *sourcev1.BucketSpec, ns string) {
				s.CertSecretRef = keep(t, ns, "ca", map[string]string{"other": "x"})
			},
			reason: "AuthenticationFailed", text: "spec.certSecretRef cannot be used: it has neither ca.crt",
		},
		"no proxy": {
			change: func(t *testing.T, s *sourcev1.BucketSpec, ns string) {
				s.ProxySecretRef = keep(t, ns, "proxy", map[string]string{"address": "ftp://x"})
			},
			reason: "AuthenticationFailed", text: "spec.proxySecretRef cannot be used",
		},
		"scheme": {
			change: func(_ *testing.T, s *sourcev1.BucketSpec, _ string) { s.Endpoint = "https://minio.example.com" },
			reason: "URLInvalid", text: "write the host alone", stalls: true,
		},
		"no name of a bucket": {
			change: func(_ *testing.T, s *sourcev1.BucketSpec, _ string) { s.BucketName = "ab" },
			reason: "URLInvalid", text: "no name of a bucket", stalls: true,
		},
		"TLS": {
			change: func(_ *testing.T, s *sourcev1.BucketSpec, _ string) { s.Insecure = false },
			reason: "BucketOperationFailed", text: "does not speak TLS",
		},
		"hostile key": {
			upset:  func(s *buckettest.S3) { s.Set("../../../../etc/cron.d/x", buckettest.Object{Content: "x"}) },
			reason: "BucketOperationFailed", text: `the object "../../../../etc/cron.d/x" cannot be a file`,
		},
		"hanging": {
			change: func(_ *testing.T, s *sourcev1.BucketSpec, _ string) {
				s.Timeout = &metav1.Duration{Duration: 300 * time.Millisecond}
			},
			upset: func(s *buckettest.S3) {
				s.Fail(func(_ http.ResponseWriter, r *http.Request) bool {
					<-r.Context().Done()
					return true
				})
			},
			reason: "BucketOperationFailed", text: "did not answer in time",
		},
		"broken": {
			upset: func(s *buckettest.S3) {
				s.Fail(func(w http.ResponseWriter, _ *http.Request) bool {
					buckettest.Refuse(w, http.StatusInternalServerError, "InternalError")
					return true
				})
			},
			reason: "BucketOperationFailed", text: "HTTP status 500",
		},
		"S-25 redirect": {
			upset: func(s *buckettest.S3) {
				s.Fail(func(w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set("Location", "http://evil.example/")
					w.WriteHeader(http.StatusTemporaryRedirect)
					return true
				})
			},
			reason: "BucketOperationFailed", text: `redirect refused: to the host "evil.example"`,
		},
		"no keys of a directory": {
			change: func(_ *testing.T, s *sourcev1.BucketSpec, _ string) {
				s.SecretRef = nil
				s.STS = &sourcev1.BucketSTSSpec{Provider: "ldap", Endpoint: "https://sts.example.com"}
			},
			reason: "AuthenticationFailed", text: "name a Secret with username and password", stalls: true,
		},
		"token to anybody": {
			change: func(_ *testing.T, s *sourcev1.BucketSpec, _ string) { s.Provider, s.SecretRef = "gcp", nil },
			reason: "AuthenticationFailed", text: "would get a token of this controller's", stalls: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := buckettest.NewS3(t, "fleet")
			server.Allow(ada)
			server.Put(map[string]string{"a": "a"})
			obj := createBucket(t, server, func(o *sourcev1.Bucket) {
				o.Spec.SecretRef = keep(t, o.Namespace, "keys", map[string]string{"accesskey": ada.Access, "secretkey": ada.Secret})
			})
			holds(t, obj, "a")
			if tc.upset != nil {
				tc.upset(server)
			}
			before := obj.Spec.DeepCopy()
			if tc.change != nil {
				editBucket(t, obj, func(s *sourcev1.BucketSpec) { tc.change(t, s, obj.Namespace) })
			} else {
				request(t, obj)
			}
			failed(t, obj, tc.reason, tc.text)
			if stalled := hasCondition(obj, meta.StalledCondition, metav1.ConditionTrue, tc.reason, "") == nil; stalled != tc.stalls {
				t.Errorf("stalled: %t, want %t", stalled, tc.stalls)
			}
			if got := names(download(t, obj.Status.Artifact)); got != "a" {
				t.Errorf("the last good artifact has %q", got)
			}
			server.Fail(nil)
			server.Delete("../../../../etc/cron.d/x")
			if tc.change != nil {
				editBucket(t, obj, func(s *sourcev1.BucketSpec) { *s = *before })
			}
			holds(t, obj, "a")
		})
	}
}

// TestF34BusyBucketIsLeftAlone: one that says for how long it wants to be left alone is not asked before.
func TestF34BusyBucketIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]func(*http.Request) bool{
		"list":  func(*http.Request) bool { return true },
		"fetch": func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/a") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := buckettest.NewS3(t, "fleet")
			server.Put(map[string]string{"a": "a"})
			server.Fail(func(w http.ResponseWriter, r *http.Request) bool {
				if !busy(r) {
					return false
				}
				w.Header().Set("Retry-After", "3600")
				buckettest.Refuse(w, http.StatusServiceUnavailable, "SlowDown")
				return true
			})
			obj := createBucket(t, server, nil)
			failed(t, obj, "BucketOperationFailed", "too many requests")
			server.Fail(nil)
			server.Take()
			for range 3 {
				request(t, obj)
			}
			failed(t, obj, "BucketOperationFailed", "too many requests")
			if got := server.Take(); len(got) > 0 {
				t.Errorf("it was asked: %v", got)
			}
		})
	}
}

// TestF41BucketCredentialsAreReplaced: a Secret that changes counts at the next attempt.
func TestF41BucketCredentialsAreReplaced(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	server.Allow(ada)
	server.Put(map[string]string{"a": "a"})
	obj := createBucket(t, server, func(o *sourcev1.Bucket) {
		o.Spec.SecretRef = keep(t, o.Namespace, "keys", map[string]string{"accesskey": ada.Access, "secretkey": ada.Secret})
	})
	holds(t, obj, "a")
	server.Allow(buckettest.Keys{Access: "eve", Secret: "canary-other"})
	request(t, obj)
	failed(t, obj, "BucketOperationFailed", "those of the Secret of spec.secretRef are wrong")
	keep(t, obj.Namespace, "keys", map[string]string{"accesskey": "eve", "secretkey": "canary-other"})
	holds(t, obj, "a")
}

// TestBucketChangesWhileItIsRead: an object that is another one when it is fetched makes the bucket be listed once more.
func TestBucketChangesWhileItIsRead(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	server.Put(map[string]string{"a": "old"})
	changed := false
	server.Fail(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/a") && !changed {
			changed = true
			server.Set("a", buckettest.Object{Content: "new"})
		}
		return false
	})
	obj := createBucket(t, server, nil)
	holds(t, obj, "a")
	if got := download(t, obj.Status.Artifact)["a"]; got != "new" {
		t.Errorf("it has %q", got)
	}
	if diff := cmp.Diff(map[string]int{"list": 2, "get": 2}, server.Take()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestSuspendedAndDeletedBucket(t *testing.T) {
	t.Parallel()
	server := buckettest.NewS3(t, "fleet")
	server.Put(map[string]string{"a": "a"})
	obj := createBucket(t, server, nil)
	holds(t, obj, "a")
	record := filepath.Join(shared.storage, ".bucket-records", string(obj.UID))
	if _, err := os.Stat(record); err != nil {
		t.Error(err)
	}
	editBucket(t, obj, func(s *sourcev1.BucketSpec) { s.Suspend = true })
	server.Take()
	request(t, obj)
	if got := server.Take(); len(got) > 0 {
		t.Errorf("suspended, and asked %v", got)
	}
	url := obj.Status.Artifact.URL
	if err := shared.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if err := shared.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err == nil {
			return fmt.Errorf("it is still there: %v", obj.Finalizers)
		}
		return nil
	})
	get(t, url, http.StatusNotFound)
	if _, err := os.Stat(record); !os.IsNotExist(err) {
		t.Errorf("what its artifact was made of is still known: %v", err)
	}
	noLeftovers(t)
}

// TestBucketsOfEveryProvider: TLS with an authority of one's own, a proxy, a directory's keys, Google, Azure.
func TestBucketsOfEveryProvider(t *testing.T) {
	t.Parallel()
	objects := map[string]string{"a": "a"}
	for name, change := range map[string]func(t *testing.T, ns string, s *sourcev1.BucketSpec){
		"TLS": func(t *testing.T, ns string, s *sourcev1.BucketSpec) {
			server := buckettest.NewS3TLS(t, "fleet")
			server.Put(objects)
			s.Endpoint = server.Host()
			s.CertSecretRef = keep(t, ns, "ca", map[string]string{"ca.crt": string(buckettest.CA(server.Server))})
		},
		"proxy": func(t *testing.T, ns string, s *sourcev1.BucketSpec) {
			server := buckettest.NewS3(t, "fleet")
			server.Put(objects)
			s.Endpoint, s.Insecure, s.Region = "store.example:9000", true, "us-east-1"
			proxy := forward(t, server.Host())
			s.ProxySecretRef = keep(t, ns, "proxy", map[string]string{"address": proxy})
		},
		"LDAP": func(t *testing.T, ns string, s *sourcev1.BucketSpec) {
			server, sts := buckettest.NewS3(t, "fleet"), buckettest.NewSTS(t)
			server.Put(objects)
			keys := buckettest.Keys{Access: "session", Secret: "canary-session-secret", Session: "canary-session"}
			server.Allow(keys)
			sts.Give(keys, time.Now().Add(time.Hour))
			s.Endpoint, s.Insecure = server.Host(), true
			s.STS = &sourcev1.BucketSTSSpec{Provider: "ldap", Endpoint: sts.URL, SecretRef: keep(t, ns, "ldap", map[string]string{
				"username": sts.Username, "password": sts.Password,
			})}
		},
		"Google": func(t *testing.T, ns string, s *sourcev1.BucketSpec) {
			server := buckettest.NewGCS(t, "fleet")
			server.Put(objects)
			s.Provider, s.Endpoint = "gcp", server.URL
			s.SecretRef = keep(t, ns, "key", map[string]string{"serviceaccount": string(server.Key())})
		},
		"Azure": func(t *testing.T, ns string, s *sourcev1.BucketSpec) {
			server := buckettest.NewAzure(t, "fleet")
			server.Put(objects)
			s.Provider, s.Endpoint = "azure", server.URL
			s.CertSecretRef = keep(t, ns, "ca", map[string]string{"ca.crt": string(server.CA())})
			s.SecretRef = keep(t, ns, "key", map[string]string{"accountKey": server.AccountKey})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := createBucket(t, &buckettest.S3{Server: buckettest.NewS3(t, "x").Server, Bucket: "fleet"}, func(o *sourcev1.Bucket) {
				o.Spec.Insecure = false
				change(t, o.Namespace, &o.Spec)
			})
			holds(t, obj, "a")
		})
	}
}

// forward is a proxy that reaches one server, whatever is asked for, and returns its address.
func forward(t *testing.T, host string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "store.example:9000" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		req := r.Clone(r.Context())
		req.RequestURI, req.URL.Host = "", host
		res, err := http.DefaultTransport.RoundTrip(req)
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
	})
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// TestBucketExamplesAreValid: the API server takes each example as it is written.
func TestBucketExamplesAreValid(t *testing.T) {
	t.Parallel()
	examplesAreValid(t, "bucket-*.yaml")
}

// examplesAreValid has the API server look at examples.
func examplesAreValid(t *testing.T, pattern string) {
	t.Helper()
	found, err := filepath.Glob("../../../charts/sluice/examples/sources/" + pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%d examples, %v", len(found), err)
	}
	ns := namespace(t)
	strict := client.NewNamespacedClient(shared.WithWatch, ns)
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var obj unstructured.Unstructured
			if err := yaml.Unmarshal([]byte(document), &obj.Object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			obj.SetNamespace(ns)
			if err := strict.Create(t.Context(), &obj, client.DryRunAll, client.FieldValidation("Strict")); err != nil {
				t.Errorf("%s: %v", filepath.Base(file), err)
			}
		}
	}
}
