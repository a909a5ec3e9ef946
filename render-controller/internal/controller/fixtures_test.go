package controller_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/seal"
)

// patience is how long a test waits for what must happen.
const patience = 90 * time.Second

const pollEvery = 20 * time.Millisecond

func createNamespace(name string) error {
	return cluster.client.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

// artifacts is a source's file server.
type artifacts struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string][]byte
	misses map[string]int
	down   bool
}

// breakDown has the server break all connections from now on, or no more.
func (a *artifacts) breakDown(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

// missed is how often a path was asked for while it was not there.
func (a *artifacts) missed(path string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.misses[path]
}

func newArtifacts(t *testing.T) *artifacts {
	t.Helper()
	a := &artifacts{files: map[string][]byte{}, misses: map[string]int{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		content, ok := a.files[r.URL.Path]
		down := a.down
		if !ok {
			a.misses[r.URL.Path]++
		}
		a.mu.Unlock()
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		if down {
			panic(http.ErrAbortHandler)
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(a.Close)
	return a
}

// damaged is an artifact whose file is not what it announces.
func (a *artifacts) damaged(artifact *meta.Artifact, damage func([]byte) []byte) *meta.Artifact {
	broken := artifact.DeepCopy()
	a.mu.Lock()
	defer a.mu.Unlock()
	content := damage(bytes.Clone(a.files["/"+artifact.Path]))
	broken.URL += fmt.Sprintf("-%d", len(a.files))
	a.files[strings.TrimPrefix(broken.URL, a.URL)] = content
	return broken
}

// redirect is a URL that leads elsewhere.
func (a *artifacts) redirect(to string) string {
	return a.URL + "/redirect?" + url.Values{"to": {to}}.Encode()
}

// put serves content, and returns it as a source announces it.
func (a *artifacts) put(revision string, content []byte) *meta.Artifact {
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	a.mu.Lock()
	a.files["/"+digest] = content
	a.mu.Unlock()
	return &meta.Artifact{
		URL: a.URL + "/" + digest, Path: digest, Revision: revision, Digest: "sha256:" + digest, LastUpdateTime: metav1.Now(),
	}
}

// pack makes an artifact of files by path.
func pack(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		must(t, archive.WriteHeader(header))
		_, err := archive.Write([]byte(files[name]))
		must(t, err)
	}
	must(t, archive.Close())
	must(t, zipped.Close())
	return packed.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a namespace with a source, for one test.
type world struct {
	t         *testing.T
	namespace string
	artifacts *artifacts
	source    *sourcev1.GitRepository
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, artifacts: newArtifacts(t)}
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", " ", "-", "#", "-").Replace(t.Name()))
	w.namespace = name[:min(len(name), 50)]
	must(t, createNamespace(w.namespace))
	w.source = &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "app"},
		Spec:       sourcev1.GitRepositorySpec{URL: "https://git.example.com/app", Interval: metav1.Duration{Duration: time.Hour}},
	}
	must(t, cluster.client.Create(t.Context(), w.source))
	return w
}

// push has the source announce an artifact of these files.
func (w *world) push(revision string, files map[string]string) {
	w.t.Helper()
	w.announce(w.artifacts.put(revision, pack(w.t, files)))
}

func (w *world) announce(artifact *meta.Artifact) {
	w.t.Helper()
	w.source.Status.Artifact = artifact.DeepCopy()
	w.source.Status.ObservedGeneration = w.source.Generation
	must(w.t, cluster.client.Status().Update(w.t.Context(), w.source))
}

// kustomization creates a Kustomization of the source.
func (w *world) kustomization(change func(*kustomizev1.Kustomization)) *kustomizev1.Kustomization {
	w.t.Helper()
	ks := &kustomizev1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "app"},
		Spec: kustomizev1.KustomizationSpec{
			Interval: metav1.Duration{Duration: time.Hour}, Path: "./", Prune: true,
			SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
		},
	}
	if change != nil {
		change(ks)
	}
	must(w.t, cluster.client.Create(w.t.Context(), ks))
	w.t.Cleanup(func() { _ = cluster.client.Delete(context.Background(), ks) })
	return ks
}

// render returns the subject's Render once it fits; it fails the test with what there was otherwise.
func (w *world) render(subject client.Object, kind string, fits func(*v1alpha1.Render) bool) *v1alpha1.Render {
	w.t.Helper()
	record := &v1alpha1.Render{}
	name := types.NamespacedName{Namespace: w.namespace, Name: v1alpha1.RecordName(kind, subject.GetName())}
	eventually(w.t, func() (bool, string) {
		err := cluster.client.Get(w.t.Context(), name, record)
		if err != nil && !apierrors.IsNotFound(err) {
			w.t.Fatal(err)
		}
		return err == nil && fits(record), fmt.Sprintf("Render %s: error %v, %+v", name, err, *record)
	})
	return record
}

// eventually polls until done says so.
func eventually(t *testing.T, done func() (ok bool, now string)) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ok, now := done()
		if ok {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("it did not happen within %s; last seen: %s", patience, now)
		case <-tick.C:
		}
	}
}

func ready(record *v1alpha1.Render) metav1.Condition {
	if condition := apimeta.FindStatusCondition(record.Status.Conditions, meta.ReadyCondition); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}

func isReady(record *v1alpha1.Render) bool { return ready(record).Status == metav1.ConditionTrue }

func failedWith(reason string, parts ...string) func(*v1alpha1.Render) bool {
	return says(metav1.ConditionFalse, reason, parts)
}

// waitsWith is for what goes away by itself.
func waitsWith(reason string, parts ...string) func(*v1alpha1.Render) bool {
	return says(metav1.ConditionUnknown, reason, parts)
}

func says(status metav1.ConditionStatus, reason string, parts []string) func(*v1alpha1.Render) bool {
	return func(record *v1alpha1.Render) bool {
		condition := ready(record)
		return condition.Status == status && condition.Reason == reason &&
			!slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(condition.Message, part) })
	}
}

// reader is who may open renderings, as sync-controller would.
var reader struct {
	once       sync.Once
	identities []age.Identity
}

// publishRecipients does what sync-controller does at start.
func publishRecipients(t *testing.T) []age.Identity {
	t.Helper()
	reader.once.Do(func() {
		identity, recipient, err := rendering.GenerateIdentity()
		must(t, err)
		reader.identities, _, err = rendering.ParseIdentities(identity)
		must(t, err)
		setRecipients(t, recipient)
	})
	return reader.identities
}

func setRecipients(t *testing.T, recipients ...string) {
	t.Helper()
	config := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: seal.RecipientsConfig},
		Data:       map[string]string{seal.RecipientsName: strings.Join(recipients, "\n")},
	}
	err := cluster.client.Create(t.Context(), config)
	if apierrors.IsAlreadyExists(err) {
		err = cluster.client.Update(t.Context(), config)
	}
	must(t, err)
}

// open fetches and opens the rendering that a record names, as sync-controller does.
func open(t *testing.T, record *v1alpha1.Render, identities []age.Identity) rendering.Content {
	t.Helper()
	response, err := http.Get(record.Rendering.URL)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	sealed, err := io.ReadAll(response.Body)
	must(t, err)
	sum := sha256.Sum256(sealed)
	if got := "sha256:" + hex.EncodeToString(sum[:]); got != record.Rendering.Digest || int64(len(sealed)) != record.Rendering.Size {
		t.Fatalf("served %s of %d bytes, the record names %s of %d", got, len(sealed), record.Rendering.Digest, record.Rendering.Size)
	}
	content, err := rendering.Open(bytes.NewReader(sealed), identities, record.Subject.UID, rendering.Tag(record.Rendering.Tag))
	must(t, err)
	return content
}

// nested returns a string in an object of a content.
func nested(content rendering.Content, object int, path ...string) (string, bool, error) {
	return unstructured.NestedString(content.Objects[object].Object.Object, path...)
}
