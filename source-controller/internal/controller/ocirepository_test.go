package controller_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/ocitest"
)

// createOCI creates an OCIRepository of the repository "app" in a registry on plain HTTP; change adapts it first.
func createOCI(t testing.TB, reg *ocitest.Registry, change func(*sourcev1.OCIRepository)) *sourcev1.OCIRepository {
	t.Helper()
	obj := &sourcev1.OCIRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace(t), Name: "app"},
		Spec:       sourcev1.OCIRepositorySpec{URL: reg.URL("app"), Insecure: true, Interval: metav1.Duration{Duration: time.Hour}},
	}
	if change != nil {
		change(obj)
	}
	if err := shared.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func editOCI(t *testing.T, obj *sourcev1.OCIRepository, change func(*sourcev1.OCIRepositorySpec)) {
	t.Helper()
	patch := client.MergeFrom(obj.DeepCopy())
	change(&obj.Spec)
	if err := shared.Patch(t.Context(), obj, patch); err != nil {
		t.Fatal(err)
	}
}

func ociAt(obj *sourcev1.OCIRepository, revision string) func() error {
	return func() error {
		if err := isReady(obj); err != nil {
			return err
		}
		if obj.Status.ObservedGeneration != obj.Generation || !obj.Status.Artifact.HasRevision(revision) {
			return fmt.Errorf("at %+v, want %s", obj.Status.Artifact, revision)
		}
		return nil
	}
}

// manifests is an artifact as flux push artifact makes it.
func manifests(t testing.TB, files map[string]string, annotations map[string]string) ocitest.Artifact {
	t.Helper()
	return ocitest.Flux(tgz(t, files), annotations)
}

func tgz(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var names []string
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for _, name := range names {
		if err := tw.WriteHeader(&tar.Header{Name: name, Size: int64(len(files[name])), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOCIRepositoryFollowsItsTag(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	annotations := map[string]string{
		"org.opencontainers.image.source": "https://git.example.com/web", "org.opencontainers.image.revision": "main@sha1:0123",
	}
	first := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n", "README.jpg": "x"}, annotations))
	obj := createOCI(t, reg, nil)

	until(t, obj, ociAt(obj, "latest@"+first))
	if got := names(download(t, obj.Status.Artifact)); got != "a.yaml" {
		t.Errorf("files: %s", got)
	}
	want := "ocirepository/" + obj.Namespace + "/app/" + first + ".tar.gz"
	if obj.Status.Artifact.Path != want || !strings.HasSuffix(obj.Status.Artifact.URL, "/"+want) ||
		!strings.HasSuffix(obj.Status.URL, "/ocirepository/"+obj.Namespace+"/app/latest.tar.gz") {
		t.Errorf("artifact: %+v, %s", obj.Status.Artifact, obj.Status.URL)
	}
	if obj.Status.Artifact.Metadata["org.opencontainers.image.revision"] != "main@sha1:0123" {
		t.Errorf("metadata: %v", obj.Status.Artifact.Metadata)
	}
	for _, kind := range []string{meta.ReadyCondition, sourcev1.ArtifactInStorageCondition} {
		err := hasCondition(obj, kind, metav1.ConditionTrue, meta.SucceededReason, "stored artifact for digest 'latest@"+first+"'")
		if err != nil {
			t.Error(err)
		}
	}
	expectEvent(t, obj, corev1.EventTypeNormal, "NewArtifact", fmt.Sprintf("stored artifact with revision 'latest@%s' from '%s', "+
		"origin source 'https://git.example.com/web', origin revision 'main@sha1:0123'", first, obj.Spec.URL))

	second := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 2\n"}, annotations))
	request(t, obj)
	if err := ociAt(obj, "latest@"+second)(); err != nil {
		t.Error(err)
	}
	get(t, strings.Replace(obj.Status.Artifact.URL, second, first, 1), http.StatusOK) // for those on their way to it
	get(t, obj.Status.URL, http.StatusOK)

	// A tag that moves to other metadata of the same content is another revision with the same digest.
	digest := obj.Status.Artifact.Digest
	annotations["org.opencontainers.image.revision"] = "main@sha1:4567"
	third := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 2\n"}, annotations))
	request(t, obj)
	if err := ociAt(obj, "latest@"+third)(); err != nil || obj.Status.Artifact.Digest != digest {
		t.Errorf("%v; digest %s, was %s", err, obj.Status.Artifact.Digest, digest)
	}
	if obj.Status.Artifact.Metadata["org.opencontainers.image.revision"] != "main@sha1:4567" {
		t.Errorf("metadata: %v", obj.Status.Artifact.Metadata)
	}
}

func TestOCIPollWithoutChangeIsOneHeadAndNoWrite(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ref *sourcev1.OCIRepositoryRef
		ask string
	}{
		"a tag":   {nil, "HEAD /v2/app/manifests/latest"},
		"a range": {&sourcev1.OCIRepositoryRef{SemVer: "1.x"}, "GET /v2/app/tags/list HEAD /v2/app/manifests/1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(t)
			for _, tag := range []string{"latest", "1.0.0"} {
				reg.Push(t, "app", tag, manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
			}
			obj := createOCI(t, reg, func(o *sourcev1.OCIRepository) {
				o.Spec.Interval.Duration, o.Spec.Reference = 200*time.Millisecond, tc.ref
			})
			until(t, obj, func() error { return isReady(obj) })
			version := obj.ResourceVersion
			reg.Requests()
			var asked []string
			eventually(t, func() error {
				if asked = append(asked, reg.Requests()...); len(asked) < 6 {
					return fmt.Errorf("asked %d times", len(asked))
				}
				return nil
			})
			for _, r := range asked {
				if !strings.Contains(tc.ask, r) {
					t.Errorf("a poll asked %s", r)
				}
			}
			if err := shared.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil || obj.ResourceVersion != version {
				t.Errorf("the object was written: %s, was %s (%v)", obj.ResourceVersion, version, err)
			}
		})
	}
}

func TestOCIRepositoryReferences(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	digests := map[string]string{}
	for _, tag := range []string{"latest", "v1.0.0", "v1.1.0", "v1.2.0-staging", "2.0.0", "edge"} {
		digests[tag] = reg.Push(t, "app", tag, manifests(t, map[string]string{"tag.yaml": "tag: " + tag + "\n"}, nil))
	}
	obj := createOCI(t, reg, nil)
	for _, tc := range []struct {
		ref  *sourcev1.OCIRepositoryRef
		want string
	}{
		{nil, "latest@" + digests["latest"]},
		{&sourcev1.OCIRepositoryRef{Tag: "edge"}, "edge@" + digests["edge"]},
		{&sourcev1.OCIRepositoryRef{SemVer: "1.x", Tag: "edge"}, "v1.1.0@" + digests["v1.1.0"]},
		{&sourcev1.OCIRepositoryRef{SemVer: ">=1.0.0-0", SemverFilter: ".*-staging"}, "v1.2.0-staging@" + digests["v1.2.0-staging"]},
		{&sourcev1.OCIRepositoryRef{Digest: digests["v1.0.0"], SemVer: "*"}, digests["v1.0.0"]},
	} {
		editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) { s.Reference = tc.ref })
		until(t, obj, ociAt(obj, tc.want))
		if got := len(download(t, obj.Status.Artifact)); got != 1 {
			t.Errorf("%s: %d files", tc.want, got)
		}
	}
	reg.Requests()
	request(t, obj)
	if asked := reg.Requests(); len(asked) > 0 {
		t.Errorf("a digest that is stored is asked for: %v", asked)
	}
}

func TestOCILayerSelector(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	chart := tgz(t, map[string]string{"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n", "web/values.yaml": "a: 1\n"})
	digest := reg.Push(t, "app", "1.0.0_build", ocitest.Chart(chart))
	obj := createOCI(t, reg, func(o *sourcev1.OCIRepository) {
		o.Spec.Reference = &sourcev1.OCIRepositoryRef{SemVer: "1.0.0"}
		o.Spec.LayerSelector = &sourcev1.OCILayerSelector{MediaType: ocitest.ChartMediaType, Operation: sourcev1.OCILayerCopy}
	})
	until(t, obj, ociAt(obj, "1.0.0_build@"+digest))
	if got := get(t, obj.Status.Artifact.URL, http.StatusOK); !bytes.Equal(got, chart) {
		t.Errorf("the artifact has %d bytes, the chart %d", len(got), len(chart))
	}
	if obj.Status.ObservedLayerSelector == nil || *obj.Status.ObservedLayerSelector != *obj.Spec.LayerSelector {
		t.Errorf("observed %+v", obj.Status.ObservedLayerSelector)
	}
	copied := obj.Status.Artifact.Digest
	ignore := "values.yaml"
	editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) {
		s.LayerSelector.Operation, s.Ignore = sourcev1.OCILayerExtract, &ignore
	})
	until(t, obj, func() error {
		if obj.Status.Artifact.Digest == copied {
			return errors.New("it is still the copy")
		}
		return ociAt(obj, "1.0.0_build@"+digest)()
	})
	if got := names(download(t, obj.Status.Artifact)); got != "web/Chart.yaml" {
		t.Errorf("files: %s", got)
	}
	editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) {
		s.LayerSelector.MediaType, s.Reference = "application/x-other", &sourcev1.OCIRepositoryRef{Tag: "1.0.0_build"}
	})
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.OCILayerOperationFailedReason,
			`none of the 1 layers of `+digest+` has the media type "application/x-other"`)
	})
}

func TestOCIRepositorySuspendAndDelete(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	first := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	obj := createOCI(t, reg, nil)
	until(t, obj, ociAt(obj, "latest@"+first))
	editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) { s.Suspend = true })
	second := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 2\n"}, nil))
	request(t, obj)
	if !obj.Status.Artifact.HasRevision("latest@" + first) {
		t.Errorf("a suspended object followed: %+v", obj.Status.Artifact)
	}
	editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) { s.Suspend = false })
	until(t, obj, ociAt(obj, "latest@"+second))
	if err := shared.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	gone(t, obj)
	if _, err := os.Stat(filepath.Join(shared.storage, "ocirepository", obj.Namespace)); err == nil {
		if left, _ := filepath.Glob(filepath.Join(shared.storage, "ocirepository", obj.Namespace, "app", "*")); len(left) > 0 {
			t.Errorf("left on disk: %v", left)
		}
	}
}

// TestF34OCIUpstreamFails: the last good artifact stays, and the conditions say what is wrong and what to do.
func TestF34OCIUpstreamFails(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	digest := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	obj := createOCI(t, reg, nil)
	until(t, obj, ociAt(obj, "latest@"+digest))
	for name, tc := range map[string]struct {
		status       int
		header       http.Header
		reason, text string
	}{
		"500":      {500, nil, sourcev1.OCIPullFailedReason, "answers with HTTP 500"},
		"502":      {502, nil, sourcev1.OCIPullFailedReason, "answers with HTTP 502"},
		"401":      {401, nil, sourcev1.AuthenticationFailedReason, "wants credentials; set spec.secretRef"},
		"403":      {403, nil, sourcev1.AuthenticationFailedReason, "wants credentials; set spec.secretRef"},
		"404":      {404, nil, sourcev1.OCIPullFailedReason, `has no app with the tag "latest"`},
		"redirect": {307, http.Header{"Location": {"/v2/app/manifests/latest"}}, sourcev1.OCIPullFailedReason, "redirects more than 5 times in a row"},
	} {
		reg.Before(func(w http.ResponseWriter, r *http.Request) bool {
			for key, values := range tc.header {
				w.Header()[key] = values
			}
			if r.URL.Path != "/v2/" {
				w.WriteHeader(tc.status)
				_, _ = fmt.Fprint(w, "canary: what a registry writes is shown to nobody")
			}
			return true
		})
		request(t, obj)
		for _, kind := range []string{meta.ReadyCondition, sourcev1.FetchFailedCondition} {
			want := metav1.ConditionFalse
			if kind == sourcev1.FetchFailedCondition {
				want = metav1.ConditionTrue
			}
			if err := hasCondition(obj, kind, want, tc.reason, tc.text); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !obj.Status.Artifact.HasRevision("latest@" + digest) {
			t.Errorf("%s: the artifact is %+v", name, obj.Status.Artifact)
		}
		get(t, obj.Status.Artifact.URL, http.StatusOK)
	}
	reg.Before(nil)
	until(t, obj, ociAt(obj, "latest@"+digest))
}

// TestF34OCIRateLimit: a registry that wants to be left alone is, whoever asks for a reconcile.
func TestF34OCIRateLimit(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	digest := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	obj := createOCI(t, reg, func(o *sourcev1.OCIRepository) { o.Spec.Interval.Duration = 200 * time.Millisecond })
	until(t, obj, ociAt(obj, "latest@"+digest))
	reg.Before(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	limited := func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.OCIPullFailedReason, "limits how often it is asked (HTTP 429)")
	}
	until(t, obj, limited)
	reg.Requests()
	for range 3 {
		request(t, obj)
		if err := limited(); err != nil {
			t.Error(err)
		}
	}
	if asked := reg.Requests(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	get(t, obj.Status.Artifact.URL, http.StatusOK)
	// Another spec may be another matter.
	reg.Before(nil)
	editOCI(t, obj, func(s *sourcev1.OCIRepositorySpec) { s.Interval.Duration = time.Hour })
	until(t, obj, ociAt(obj, "latest@"+digest))
}

// TestF35OCIHangingRegistry: an attempt ends with spec.timeout, and others go on meanwhile.
func TestF35OCIHangingRegistry(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	digest := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	obj := createOCI(t, reg, func(o *sourcev1.OCIRepository) { o.Spec.Timeout = &metav1.Duration{Duration: time.Second} })
	until(t, obj, ociAt(obj, "latest@"+digest))
	end := make(chan struct{})
	defer close(end)
	reg.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-end:
		case <-r.Context().Done():
		}
		return true
	})
	request(t, obj)
	if err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.OCIPullFailedReason, "did not answer in time"); err != nil {
		t.Error(err)
	}
	get(t, obj.Status.Artifact.URL, http.StatusOK)
	reg.Before(nil)
	until(t, obj, ociAt(obj, "latest@"+digest))
}

// TestF37OCIDamagedArtifact: a file that is lost or damaged on disk is pulled again, with the same digest.
func TestF37OCIDamagedArtifact(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	digest := reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	obj := createOCI(t, reg, nil)
	until(t, obj, ociAt(obj, "latest@"+digest))
	before := obj.Status.Artifact.DeepCopy()
	file := filepath.Join(shared.storage, obj.Status.Artifact.Path)
	for name, damage := range map[string]func() error{
		"lost":      func() error { return os.Remove(file) },
		"changed":   func() error { return os.WriteFile(file, []byte("other"), 0o600) },
		"shortened": func() error { return os.Truncate(file, 10) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		request(t, obj)
		if err := ociAt(obj, "latest@"+digest)(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if obj.Status.Artifact.Digest != before.Digest || !obj.Status.Artifact.LastUpdateTime.Equal(&before.LastUpdateTime) {
			t.Errorf("%s: %+v, was %+v", name, obj.Status.Artifact, before)
		}
		download(t, obj.Status.Artifact)
	}
	// While upstream is down there is nothing to make it of, which is said.
	reg.Before(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	request(t, obj)
	if err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.OCIPullFailedReason, "HTTP 502"); err != nil {
		t.Error(err)
	}
	if apimeta.FindStatusCondition(obj.Status.Conditions, sourcev1.ArtifactInStorageCondition) != nil {
		t.Error("an artifact that is lost is said to be in storage")
	}
	reg.Before(nil)
	until(t, obj, ociAt(obj, "latest@"+digest))
	get(t, obj.Status.Artifact.URL, http.StatusOK)
}

func TestOCISpecsThatCannotBeServed(t *testing.T) {
	t.Parallel()
	reg := ocitest.New(t)
	reg.Push(t, "app", "latest", manifests(t, map[string]string{"a.yaml": "a: 1\n"}, nil))
	for name, tc := range map[string]struct {
		change       func(*sourcev1.OCIRepositorySpec)
		reason, text string
	}{
		"a tag in the address": {func(s *sourcev1.OCIRepositorySpec) { s.URL += ":v1" }, sourcev1.URLInvalidReason, "move it to spec.ref.tag"},
		"no range":             {func(s *sourcev1.OCIRepositorySpec) { s.Reference = &sourcev1.OCIRepositoryRef{SemVer: "new"} }, sourcev1.ReadOperationFailedReason, "is not a version range"},
		"no digest":            {func(s *sourcev1.OCIRepositorySpec) { s.Reference = &sourcev1.OCIRepositoryRef{Digest: "sha256:0"} }, sourcev1.OCIPullFailedReason, "64 hexadecimal digits"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := createOCI(t, reg, func(o *sourcev1.OCIRepository) { tc.change(&o.Spec) })
			until(t, obj, func() error {
				return hasCondition(obj, meta.StalledCondition, metav1.ConditionTrue, tc.reason, tc.text)
			})
		})
	}
}

// TestOCIExamplesAreValid: the API server takes each example as it is written.
func TestOCIExamplesAreValid(t *testing.T) {
	t.Parallel()
	examplesAreValid(t, "oci-*.yaml")
}

// ociSecret creates a Secret beside an object.
func ociSecret(t testing.TB, namespace, name string, kind corev1.SecretType, data map[string][]byte) {
	t.Helper()
	err := shared.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: kind, Data: data,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func dockerConfig(host, username, password string) map[string][]byte {
	return map[string][]byte{corev1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"username":%q,"password":%q}}}`, host, username, password)}
}

func replaceSecret(ctx context.Context, namespace, name string, data map[string][]byte) error {
	var found corev1.Secret
	if err := shared.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &found); err != nil {
		return err
	}
	found.Data = data
	return shared.Update(ctx, &found)
}
