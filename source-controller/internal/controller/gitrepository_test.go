package controller_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// create creates a GitRepository; change adapts it first.
func create(t testing.TB, url string, change func(*sourcev1.GitRepository)) *sourcev1.GitRepository {
	t.Helper()
	obj := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace(t), Name: "app"},
		Spec: sourcev1.GitRepositorySpec{
			URL: url, Interval: metav1.Duration{Duration: time.Hour},
			Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
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

// until waits for a state of an object, and leaves the object in it.
func until(t testing.TB, obj client.Object, check func() error) {
	t.Helper()
	eventually(t, func() error {
		if err := shared.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		return check()
	})
}

// request asks for a reconcile by annotation and waits for its end.
func request(t *testing.T, obj client.Object) {
	t.Helper()
	token := time.Now().Format(time.RFC3339Nano)
	patch := []byte(fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, token))
	if err := shared.Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
	until(t, obj, func() error {
		if got := handled(obj); got != token {
			return fmt.Errorf("handled %q, asked for %q", got, token)
		}
		return nil
	})
}

// handled is the last request that was.
func handled(obj client.Object) string {
	if chart, ok := obj.(*sourcev1.HelmChart); ok {
		return chart.Status.LastHandledReconcileAt
	}
	if repository, ok := obj.(*sourcev1.GitRepository); ok {
		return repository.Status.LastHandledReconcileAt
	}
	if repository, ok := obj.(*sourcev1.HelmRepository); ok {
		return repository.Status.LastHandledReconcileAt
	}
	if bucket, ok := obj.(*sourcev1.Bucket); ok {
		return bucket.Status.LastHandledReconcileAt
	}
	if repository, ok := obj.(*sourcev1.OCIRepository); ok {
		return repository.Status.LastHandledReconcileAt
	}
	return ""
}

func edit(t *testing.T, obj *sourcev1.GitRepository, change func(*sourcev1.GitRepositorySpec)) {
	t.Helper()
	patch := client.MergeFrom(obj.DeepCopy())
	change(&obj.Spec)
	if err := shared.Patch(t.Context(), obj, patch); err != nil {
		t.Fatal(err)
	}
}

type conditioned interface {
	GetConditions() []metav1.Condition
}

func isReady(obj conditioned) error {
	return hasCondition(obj, meta.ReadyCondition, metav1.ConditionTrue, "", "")
}

func hasCondition(obj conditioned, kind string, status metav1.ConditionStatus, reason, text string) error {
	c := apimeta.FindStatusCondition(obj.GetConditions(), kind)
	if c == nil {
		return fmt.Errorf("no condition %s among %+v", kind, obj.GetConditions())
	}
	if c.Status != status || reason != "" && c.Reason != reason || !strings.Contains(c.Message, text) {
		return fmt.Errorf("%s is %s/%s %q, want %s/%s with %q", kind, c.Status, c.Reason, c.Message, status, reason, text)
	}
	return nil
}

func at(obj *sourcev1.GitRepository, revision string) func() error {
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

// download fetches an artifact as a consumer does, checks its digest, and returns its files.
func download(t *testing.T, a *meta.Artifact) map[string]string {
	t.Helper()
	body := get(t, a.URL, http.StatusOK)
	if sum := sha256.Sum256(body); a.Digest != "sha256:"+hex.EncodeToString(sum[:]) || *a.Size != int64(len(body)) {
		t.Errorf("%s: digest or size do not fit", a.URL)
	}
	zr, err := gzip.NewReader(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			files[h.Name] = string(content)
		}
	}
}

func get(t *testing.T, url string, status int) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		t.Fatalf("GET %s: status %d, want %d (%v)", url, res.StatusCode, status, err)
	}
	return body
}

func names(files map[string]string) string {
	var all []string
	for name := range files {
		all = append(all, name)
	}
	sort.Strings(all)
	return strings.Join(all, " ")
}

func TestGitRepositoryFollowsItsBranch(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	first := repo.Commit("add a", map[string]string{"a.yaml": "a: 1\n", ".github/ci.yaml": "x: 1\n"})
	obj := create(t, repo.URL, nil)

	until(t, obj, at(obj, "main@sha1:"+first))
	if got := names(download(t, obj.Status.Artifact)); got != "a.yaml" {
		t.Errorf("files: %s", got)
	}
	want := "gitrepository/" + obj.Namespace + "/app/" + first + ".tar.gz"
	if obj.Status.Artifact.Path != want || !strings.HasSuffix(obj.Status.Artifact.URL, "/"+want) {
		t.Errorf("artifact: %+v", obj.Status.Artifact)
	}
	for _, kind := range []string{meta.ReadyCondition, sourcev1.ArtifactInStorageCondition} {
		err := hasCondition(obj, kind, metav1.ConditionTrue, meta.SucceededReason, "stored artifact for revision 'main@sha1:"+first+"'")
		if err != nil {
			t.Error(err)
		}
	}
	expectEvent(t, obj, corev1.EventTypeNormal, "NewArtifact", "stored artifact for commit 'add a'")

	second := repo.Commit("add b", map[string]string{"b.yaml": "b: 2\n"})
	request(t, obj)
	if err := at(obj, "main@sha1:"+second)(); err != nil {
		t.Error(err)
	}
	get(t, strings.Replace(obj.Status.Artifact.URL, second, first, 1), http.StatusOK) // for those on their way to it
	get(t, strings.Replace(obj.Status.Artifact.URL, second+".tar.gz", "latest.tar.gz", 1), http.StatusOK)
	get(t, strings.TrimSuffix(obj.Status.Artifact.URL, second+".tar.gz"), http.StatusNotFound)
}

func TestPollWithoutChangeIsOneAdvertisementAndNoWrite(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	repo.Commit("add a", map[string]string{"a.yaml": "a: 1\n"})
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) { o.Spec.Interval.Duration = 200 * time.Millisecond })
	until(t, obj, func() error { return isReady(obj) })
	version := obj.ResourceVersion
	server.Requests()
	var asked []string
	eventually(t, func() error {
		if asked = append(asked, server.Requests()...); len(asked) < 4 {
			return fmt.Errorf("asked %d times", len(asked))
		}
		return nil
	})
	for _, r := range asked {
		if r != "GET /app.git/info/refs" {
			t.Errorf("a poll asked %s", r)
		}
	}
	if err := shared.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil || obj.ResourceVersion != version {
		t.Errorf("the object was written: %s, was %s (%v)", obj.ResourceVersion, version, err)
	}
}

func TestGitRepositoryReferences(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Configure("uploadpack.allowReachableSHA1InWant", "true")
	first := repo.Commit("one", map[string]string{"a": "1"})
	repo.Git("tag", "--annotate", "--message", "release", "v1.0.0")
	second := repo.Commit("two", map[string]string{"b": "2"})
	repo.Git("tag", "v1.1.0")
	repo.Push("--tags")
	repo.Push("HEAD:refs/pull/1/head")
	obj := create(t, repo.URL, nil)
	for _, tc := range []struct {
		ref  sourcev1.GitRepositoryRef
		want string
	}{
		{sourcev1.GitRepositoryRef{Tag: "v1.0.0"}, "v1.0.0@sha1:" + first},
		{sourcev1.GitRepositoryRef{SemVer: "1.x", Branch: "main"}, "v1.1.0@sha1:" + second},
		{sourcev1.GitRepositoryRef{Name: "refs/pull/1/head", SemVer: "1.x"}, "refs/pull/1/head@sha1:" + second},
		{sourcev1.GitRepositoryRef{Commit: first, Name: "refs/pull/1/head"}, "sha1:" + first},
		{sourcev1.GitRepositoryRef{Commit: first, Branch: "main"}, "main@sha1:" + first},
	} {
		edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Reference = &tc.ref })
		until(t, obj, at(obj, tc.want))
	}
}

func TestF36MovedTagForcePushAndDeletedBranch(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	obj := create(t, repo.URL, nil)
	until(t, obj, func() error { return isReady(obj) })
	repo.Git("checkout", "--quiet", "--orphan", "other")
	forced := repo.Commit("forced", map[string]string{"b": "2"})
	repo.Push("HEAD:main")
	request(t, obj)
	if err := at(obj, "main@sha1:"+forced)(); err != nil {
		t.Error("after a force push: ", err)
	}
	repo.Push(":main")
	request(t, obj)
	err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, sourcev1.GitOperationFailedReason, `branch "main" does not exist`)
	if err != nil || !obj.Status.Artifact.HasRevision("main@sha1:"+forced) {
		t.Errorf("after the branch was deleted: %v, %+v", err, obj.Status.Artifact)
	}
	if got := names(download(t, obj.Status.Artifact)); got != "a b" {
		t.Errorf("the last good artifact: %s", got)
	}
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Tag: "latest"} })
	repo.Git("tag", "latest")
	repo.Push("--tags")
	until(t, obj, at(obj, "latest@sha1:"+forced))
	moved := repo.Commit("moved", map[string]string{"c": "3"})
	repo.Git("tag", "--force", "latest")
	repo.Push("--tags")
	request(t, obj)
	if err := at(obj, "latest@sha1:"+moved)(); err != nil {
		t.Error("after the tag moved: ", err)
	}
}

func TestGitRepositoryFailuresAreExplained(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	protected := gittest.New(t)
	locked := protected.Repo(t, "app")
	locked.Commit("one", map[string]string{"a": "1"})
	protected.Protect("ada", "another")
	hung := gittest.New(t)
	hung.Disturb(gittest.Hang)
	slow := gittest.New(t)
	slow.Disturb(gittest.Drip(http.MethodGet, 50*time.Millisecond))
	cut := gittest.New(t)
	half := cut.Repo(t, "app")
	half.Commit("one", map[string]string{"a": "1"})
	cut.Disturb(gittest.Truncate(http.MethodPost, 50))
	for name, tc := range map[string]struct {
		url    string
		change func(*sourcev1.GitRepositorySpec)
		reason string
		text   string
		stalls bool
	}{
		"no host":        {url: "http://host.invalid/x.git", reason: "GitOperationFailed", text: "cannot find the host"},
		"no repository":  {url: server.URL + "/nothing.git", reason: "GitOperationFailed", text: "repository not found"},
		"empty":          {url: server.Repo(t, "empty").URL, reason: "EmptyGitRepository", text: "push a first commit"},
		"no credentials": {url: locked.URL, reason: "AuthenticationFailed", text: "set spec.secretRef"},
		"no Secret": {
			url:    locked.URL,
			change: func(s *sourcev1.GitRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "absent"} },
			reason: "AuthenticationFailed", text: "does not exist",
		},
		"no such branch": {
			url:    repo.URL,
			change: func(s *sourcev1.GitRepositorySpec) { s.Reference.Branch = "nope" },
			reason: "GitOperationFailed", text: `branch "nope" does not exist in the repository; its default branch is "main"`,
		},
		"hung server": {
			url:    hung.URL + "/app.git",
			change: func(s *sourcev1.GitRepositorySpec) { s.Timeout = &metav1.Duration{Duration: 100 * time.Millisecond} },
			reason: "GitOperationFailed", text: "timed out",
		},
		"cut pack":    {url: half.URL, reason: "GitOperationFailed", text: "halfway"},
		"ssh, no key": {url: "ssh://git@example.com/x.git", reason: "AuthenticationFailed", text: "set spec.secretRef to a Secret with identity and known_hosts"},
		"password in the address": {
			url: "https://ada:canary@example.com/x.git", reason: "URLInvalid", text: "password", stalls: true,
		},
		"slow server": {
			url:    slow.Repo(t, "app").URL,
			change: func(s *sourcev1.GitRepositorySpec) { s.Timeout = &metav1.Duration{Duration: 200 * time.Millisecond} },
			reason: "GitOperationFailed", text: "timed out",
		},
		"token in the address": {
			url:    strings.Replace(locked.URL, "://", "://canary-token@", 1),
			reason: "AuthenticationFailed", text: "wants more than a user name",
		},
		"endless name": {
			url:    repo.URL,
			change: func(s *sourcev1.GitRepositorySpec) { s.Reference.Branch = strings.Repeat("x", 50_000) },
			reason: "GitOperationFailed", text: "xxx…",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := create(t, tc.url, func(o *sourcev1.GitRepository) {
				if tc.change != nil {
					tc.change(&o.Spec)
				}
			})
			until(t, obj, func() error {
				return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, tc.reason, tc.text)
			})
			if strings.Contains(fmt.Sprint(obj.Status), "canary") {
				t.Error("the status shows a password")
			}
			abnormal := hasCondition(obj, sourcev1.FetchFailedCondition, metav1.ConditionTrue, tc.reason, tc.text)
			working := hasCondition(obj, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, "")
			stalled := hasCondition(obj, meta.StalledCondition, metav1.ConditionTrue, tc.reason, tc.text)
			if abnormal != nil || tc.stalls != (stalled == nil) || tc.stalls == (working == nil) {
				t.Errorf("conditions: %+v", obj.Status.Conditions)
			}
			if (obj.Status.ObservedGeneration == obj.Generation) != tc.stalls {
				t.Errorf("observedGeneration is %d", obj.Status.ObservedGeneration)
			}
			expectEvent(t, obj, corev1.EventTypeWarning, tc.reason, tc.text)
			request(t, obj) // who asks for a reconcile is told of its end, however it ends
			if err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, tc.reason, tc.text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCredentialsAndRecovery(t *testing.T) {
	t.Parallel()
	const password = "canary-password"
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a": "1"})
	server.Protect("ada", password)
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) {
		o.Spec.SecretRef = &meta.LocalObjectReference{Name: "git"}
	})
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: obj.Namespace, Name: "git"},
		StringData: map[string]string{"username": "ada", "password": "wrong-canary"},
	}
	if err := shared.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "AuthenticationFailed", "does not accept the credentials")
	})
	if strings.Contains(fmt.Sprint(obj.Status), "canary") {
		t.Error("the status shows a password")
	}
	secret.StringData = map[string]string{"username": "ada", "password": password}
	if err := shared.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	until(t, obj, at(obj, "main@sha1:"+commit))
	if got := len(obj.Status.Conditions); got != 2 {
		t.Errorf("conditions after recovery: %+v", obj.Status.Conditions)
	}

	nextSecond(t) // conditions have no finer time, and a recovery is told by it from a new artifact
	server.Disturb(gittest.Status(http.StatusServiceUnavailable))
	request(t, obj)
	err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "GitOperationFailed", "HTTP 503")
	if err != nil || hasCondition(obj, sourcev1.ArtifactInStorageCondition, metav1.ConditionTrue, "", "") != nil {
		t.Errorf("while upstream is down: %v, %+v", err, obj.Status.Conditions)
	}
	download(t, obj.Status.Artifact)
	server.Disturb(nil)
	until(t, obj, func() error { return isReady(obj) })
	expectEvent(t, obj, corev1.EventTypeNormal, meta.SucceededReason, "stored artifact for revision")
}

func TestWhatIsIgnored(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{
		"a.yaml": "1", "logo.png": "1", "dir/b.yaml": "1", "dir/b.txt": "1", "dir/.sourceignore": "*.txt\n", "other/c.yaml": "1",
	})
	obj := create(t, repo.URL, nil)
	until(t, obj, func() error { return isReady(obj) })
	if got := names(download(t, obj.Status.Artifact)); got != "a.yaml dir/.sourceignore dir/b.yaml logo.png other/c.yaml" {
		t.Errorf("with .sourceignore: %s", got)
	}
	revision, digest := obj.Status.Artifact.Revision, obj.Status.Artifact.Digest
	ignore := "/*\n!/dir\n"
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Ignore = &ignore })
	until(t, obj, func() error {
		if obj.Status.ObservedIgnore == nil || obj.Status.Artifact.Digest == digest {
			return errors.New("not packed again")
		}
		return at(obj, revision)()
	})
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Ignore, s.SparseCheckout = nil, []string{"./other/"} })
	until(t, obj, func() error {
		if len(obj.Status.ObservedSparseCheckout) == 0 {
			return errors.New("not packed again")
		}
		return at(obj, revision)()
	})
	if got := names(download(t, obj.Status.Artifact)); got != "other/c.yaml" {
		t.Errorf("with sparseCheckout: %s", got)
	}
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.SparseCheckout = []string{"absent"} })
	until(t, obj, func() error {
		return hasCondition(obj, sourcev1.FetchFailedCondition, metav1.ConditionTrue, "GitOperationFailed", `"absent"`)
	})
}

func TestLostAndDamagedArtifactsAreMadeAgain(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	obj := create(t, repo.URL, nil)
	until(t, obj, func() error { return isReady(obj) })
	file := filepath.Join(shared.storage, obj.Status.Artifact.Path)
	artifact := obj.Status.Artifact.DeepCopy()
	clones := clonesOf(obj)
	for name, damage := range map[string]func() error{
		"file lost":       func() error { return os.Remove(file) },
		"file damaged":    func() error { return os.WriteFile(file, []byte("damaged"), 0o600) },
		"everything lost": func() error { return errors.Join(os.Remove(file), removeAll(clones)) },
		"objects damaged": func() error { return errors.Join(os.Remove(file), removeAll(clones+"/objects/pack/*.idx")) },
		"upstream is down": func() error {
			server.Disturb(gittest.Status(http.StatusBadGateway))
			return os.Remove(file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer server.Disturb(nil)
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			request(t, obj)
			if got := obj.Status.Artifact; got.Digest != artifact.Digest || !got.LastUpdateTime.Equal(&artifact.LastUpdateTime) {
				t.Errorf("artifact: %+v, was %+v", got, artifact)
			}
			download(t, artifact)
			server.Disturb(nil)
			until(t, obj, func() error { return isReady(obj) })
		})
	}
}

func removeAll(pattern string) error {
	found, err := filepath.Glob(pattern)
	if err == nil && len(found) == 0 {
		return fmt.Errorf("nothing matches %s", pattern)
	}
	for _, f := range found {
		err = errors.Join(err, os.RemoveAll(f))
	}
	return err
}

func TestSuspendAndDelete(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	first := repo.Commit("one", map[string]string{"a": "1"})
	obj := create(t, repo.URL, nil)
	until(t, obj, at(obj, "main@sha1:"+first))
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Suspend = true })
	second := repo.Commit("two", map[string]string{"b": "2"})
	request(t, obj)
	if !obj.Status.Artifact.HasRevision("main@sha1:" + first) {
		t.Errorf("a suspended object moved to %s", obj.Status.Artifact.Revision)
	}
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Suspend = false })
	until(t, obj, at(obj, "main@sha1:"+second))

	folder := filepath.Join(shared.storage, "gitrepository", obj.Namespace, "app")
	if _, err := os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	if err := shared.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	gone(t, obj)
	left, err := filepath.Glob(clonesOf(obj))
	if _, gone := os.Stat(folder); !errors.Is(gone, os.ErrNotExist) || err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v %v", gone, left, err)
	}
}

// gone waits until an object is.
func gone(t *testing.T, obj client.Object) {
	t.Helper()
	eventually(t, func() error {
		err := shared.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s is still there (%w)", obj.GetName(), err)
		}
		return nil
	})
}

func nextSecond(t *testing.T) {
	t.Helper()
	now := time.Now().Unix()
	eventually(t, func() error {
		if time.Now().Unix() == now {
			return errors.New("the clock stands still")
		}
		return nil
	})
}

// expectEvent waits for a core/v1 event about an object.
func expectEvent(t *testing.T, obj client.Object, kind, reason, text string) {
	t.Helper()
	eventually(t, func() error { return findEvent(t.Context(), obj, kind, reason, text) })
}

func findEvent(ctx context.Context, obj client.Object, kind, reason, text string) error {
	var events corev1.EventList
	if err := shared.List(ctx, &events, client.InNamespace(obj.GetNamespace())); err != nil {
		return err
	}
	var seen []string
	for _, e := range events.Items {
		if e.InvolvedObject.UID != obj.GetUID() {
			continue
		}
		if e.Type == kind && e.Reason == reason && strings.Contains(e.Message, text) && e.Source.Component == "source-controller" {
			return nil
		}
		seen = append(seen, e.Type+" "+e.Reason+" "+e.Message)
	}
	return fmt.Errorf("no %s event %s with %q among %q", kind, reason, text, seen)
}
