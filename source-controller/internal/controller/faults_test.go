package controller_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-gitops/sluice/source-controller/internal/controller/gitrepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

func TestReconcilesAreMeasured(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"charts/demo/Chart.yaml": demoChart})
	obj := create(t, repo.URL, nil)
	chart := createChart(t, obj, nil)
	until(t, chart, chartAt(chart, "1.2.3"))
	measured := func(kind, name string) error {
		if n := reconciles(t, kind, obj.Namespace, name); n == 0 {
			return fmt.Errorf("no reconcile of %s %s is measured", kind, name)
		}
		return nil
	}
	eventually(t, func() error { return measured("GitRepository", obj.Name) })
	eventually(t, func() error { return measured("HelmChart", chart.Name) })
	if err := shared.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	gone(t, obj)
	eventually(t, func() error {
		if measured("GitRepository", obj.Name) == nil {
			return errors.New("an object that is gone is still among the metrics")
		}
		return nil
	})
}

// reconciles is how many reconciles of an object are in Flux's histogram.
func reconciles(t *testing.T, kind, namespace, name string) (n uint64) {
	t.Helper()
	families, err := ctrlmetrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "gotk_reconcile_duration_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["kind"] == kind && labels["namespace"] == namespace && labels["name"] == name {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}

// TestDamagedCloneRepairsItself damages every file of a clone in every way, and wants what is made out of it to be the
// same as ever: the artifact again when its file is lost, and the next commit.
func TestDamagedCloneRepairsItself(t *testing.T) {
	t.Parallel()
	c := newDamaged(t, "b\n")
	for name, damage := range damages() {
		for i := range cloneFiles(t, c.obj) {
			t.Run(fmt.Sprintf("%s %d", name, i), func(t *testing.T) {
				files := cloneFiles(t, c.obj) // as it is now
				c.round(t, files[i%len(files)], damage)
			})
		}
	}
}

// TestDamagedLargeFile is the same for a file that is read from disk piece by piece.
func TestDamagedLargeFile(t *testing.T) {
	t.Parallel()
	c := newDamaged(t, strings.Repeat("0123456789abcdef\n", 250_000))
	for _, name := range []string{"truncated", "a bit"} {
		t.Run(name, func(t *testing.T) { c.round(t, largest(t, c.obj), damages()[name]) })
	}
}

// damaged is a repository whose clone is damaged again and again.
type damaged struct {
	repo    *gittest.Repo
	obj     *sourcev1.GitRepository
	content string
	rounds  int
}

// newDamaged has a clone of two packs: with their indexes, the boundary of the history and the last commit, six files.
func newDamaged(t *testing.T, content string) *damaged {
	t.Helper()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1", "dir/b": strings.Repeat("b\n", 20_000), "content": content})
	obj := create(t, repo.URL, nil)
	until(t, obj, func() error { return isReady(obj) })
	second := repo.Commit("two", map[string]string{"c": "2"})
	request(t, obj)
	until(t, obj, at(obj, "main@sha1:"+second))
	if files := cloneFiles(t, obj); len(files) < 6 {
		t.Fatalf("the clone is %v", files)
	}
	return &damaged{repo: repo, obj: obj, content: content}
}

func damages() map[string]func(file string, content []byte) error {
	return map[string]func(file string, content []byte) error{
		"removed":   func(file string, _ []byte) error { return os.Remove(file) },
		"empty":     func(file string, _ []byte) error { return os.Truncate(file, 0) },
		"truncated": func(file string, content []byte) error { return os.Truncate(file, int64(len(content)/2)) },
		"nonsense": func(file string, content []byte) error {
			return errors.Join(os.Remove(file), os.WriteFile(file, []byte(strings.Repeat("nonsense", len(content)/8+1)), 0o600))
		},
		"a bit": func(file string, content []byte) error {
			content[len(content)*2/3] ^= 0x10
			return errors.Join(os.Remove(file), os.WriteFile(file, content, 0o600))
		},
	}
}

// round damages a file of the clone, and loses the artifact with it.
func (c *damaged) round(t *testing.T, file string, damage func(string, []byte) error) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lost := filepath.Join(shared.storage, c.obj.Status.Artifact.Path)
	if err := errors.Join(damage(file, content), os.Remove(lost)); err != nil {
		t.Fatal(err)
	}
	digest := c.obj.Status.Artifact.Digest
	request(t, c.obj)
	if err := isReady(c.obj); err != nil || c.obj.Status.Artifact.Digest != digest {
		t.Fatalf("after %s was damaged: %v, digest %s, was %s", filepath.Base(file), err, c.obj.Status.Artifact.Digest, digest)
	}
	c.rounds++
	commit := c.repo.Commit("next", map[string]string{"c": fmt.Sprint("round ", c.rounds)})
	request(t, c.obj)
	if err := at(c.obj, "main@sha1:"+commit)(); err != nil {
		t.Fatalf("after %s was damaged: %v", filepath.Base(file), err)
	}
	got := download(t, c.obj.Status.Artifact)
	if got["c"] != fmt.Sprint("round ", c.rounds) || got["content"] != c.content || len(got) != 4 {
		t.Errorf("after %s was damaged: files %s", filepath.Base(file), names(got))
	}
}

// largest is the largest file of a clone: the pack with the most in it.
func largest(t *testing.T, obj *sourcev1.GitRepository) (file string) {
	t.Helper()
	size := int64(-1)
	for _, f := range cloneFiles(t, obj) {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > size {
			file, size = f, info.Size()
		}
	}
	return file
}

// clonesOf matches the folder of an object's clone, and those of its submodules.
func clonesOf(obj *sourcev1.GitRepository) string {
	return filepath.Join(shared.storage, ".git-cache", gitrepository.CloneOf(obj)+"*")
}

func cloneFiles(t *testing.T, obj *sourcev1.GitRepository) (files []string) {
	t.Helper()
	clones, err := filepath.Glob(clonesOf(obj))
	if err != nil || len(clones) != 1 {
		t.Fatalf("clones: %v, %v", clones, err)
	}
	err = filepath.WalkDir(clones[0], func(file string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, file)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("files of the clone: %v, %v", files, err)
	}
	return files
}

func TestFullDisk(t *testing.T) {
	repo := gittest.New(t).Repo(t, "app")
	first := repo.Commit("one", map[string]string{"a": "1"})
	obj := create(t, repo.URL, nil)
	until(t, obj, at(obj, "main@sha1:"+first))
	second := repo.Commit("two", map[string]string{"b": gittest.Random(1 << 20)})
	release := gittest.FullDisk(t, 512<<10)
	var said [2]string
	for i := range said {
		request(t, obj)
		err := hasCondition(obj, sourcev1.StorageOperationFailedCondition, metav1.ConditionTrue, "", "file too large")
		if err != nil || !obj.Status.Artifact.HasRevision("main@sha1:"+first) {
			t.Fatalf("%v, at %s", err, obj.Status.Artifact.Revision)
		}
		said[i] = fmt.Sprint(obj.Status.Conditions)
	}
	if said[0] != said[1] {
		t.Errorf("first %s\nthen %s", said[0], said[1])
	}
	if got := names(download(t, obj.Status.Artifact)); got != "a" {
		t.Errorf("the last good artifact: %s", got)
	}
	noLeftovers(t)
	release()
	until(t, obj, at(obj, "main@sha1:"+second))
	noLeftovers(t)
}

// noLeftovers fails if a temporary file or folder stays in the storage; another attempt may just be making one.
func noLeftovers(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		return filepath.WalkDir(shared.storage, func(file string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // just removed
			}
			if err == nil && (strings.Contains(e.Name(), ".tmp-") || strings.Contains(e.Name(), ".new-") || strings.HasPrefix(e.Name(), "tmp_")) {
				return fmt.Errorf("%s is left behind", file)
			}
			return err
		})
	})
}

func TestManyRepositoriesOfOneAddress(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	first := repo.Commit("one", map[string]string{"a": "1"})
	objects := make([]*sourcev1.GitRepository, 6)
	for i := range objects {
		objects[i] = create(t, repo.URL, nil)
	}
	for _, obj := range objects {
		until(t, obj, at(obj, "main@sha1:"+first))
	}
	if err := shared.Delete(t.Context(), objects[0]); err != nil {
		t.Fatal(err)
	}
	gone(t, objects[0])
	second := repo.Commit("two", map[string]string{"b": "2"})
	var all sync.WaitGroup
	for _, obj := range objects[1:] {
		all.Go(func() { request(t, obj) })
	}
	all.Wait()
	for _, obj := range objects[1:] {
		if err := at(obj, "main@sha1:"+second)(); err != nil {
			t.Error(err)
		}
		if got := names(download(t, obj.Status.Artifact)); got != "a b" {
			t.Errorf("files: %s", got)
		}
	}
}

// TestF2KilledBetweenFileAndStatus has what a process leaves that is killed when it has stored a commit and not said so,
// and upstream then takes the commit back.
func TestF2KilledBetweenFileAndStatus(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	first := repo.Commit("one", map[string]string{"a": "1"})
	obj := create(t, repo.URL, nil)
	until(t, obj, at(obj, "main@sha1:"+first))
	folder := filepath.Dir(filepath.Join(shared.storage, obj.Status.Artifact.Path))
	unsaid, latest := filepath.Join(folder, strings.Repeat("ab", 20)+".tar.gz"), filepath.Join(folder, "latest.tar.gz")
	long := time.Now().Add(-24 * time.Hour)
	err := errors.Join(os.WriteFile(unsaid, []byte("x"), 0o600), os.Chtimes(unsaid, long, long),
		os.Remove(latest), os.Symlink(filepath.Base(unsaid), latest))
	if err != nil {
		t.Fatal(err)
	}
	request(t, obj)
	if _, err := os.Stat(unsaid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that nobody advertises stays: %v", err)
	}
	get(t, strings.Replace(obj.Status.Artifact.URL, first+".tar.gz", "latest.tar.gz", 1), http.StatusOK)
	if err := at(obj, "main@sha1:"+first)(); err != nil {
		t.Error(err)
	}
}

// TestLostArtifactComesBackWhileUpstreamFails has the artifact made again from the clone, however upstream fails, and
// whatever is left of the attempt's time.
func TestLostArtifactComesBackWhileUpstreamFails(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]gittest.Disturbance{
		"it hangs": gittest.Hang,
		"it has a new commit, and does not give it": func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			return r.Method == http.MethodPost && gittest.Status(http.StatusBadGateway)(w, r, next)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gittest.New(t)
			repo := server.Repo(t, "app")
			first := repo.Commit("one", map[string]string{"a": "1"})
			obj := create(t, repo.URL, nil)
			until(t, obj, at(obj, "main@sha1:"+first))
			repo.Commit("two", map[string]string{"b": "2"})
			server.Disturb(disturb)
			file := filepath.Join(shared.storage, obj.Status.Artifact.Path)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Timeout = &metav1.Duration{Duration: 2 * time.Second} })
			until(t, obj, func() error {
				_, lost := os.Stat(file)
				return errors.Join(lost, hasCondition(obj, sourcev1.FetchFailedCondition, metav1.ConditionTrue, "GitOperationFailed", ""),
					hasCondition(obj, sourcev1.ArtifactInStorageCondition, metav1.ConditionTrue, "", first))
			})
			download(t, obj.Status.Artifact)
		})
	}
}

// TestF39PowerLossAfterTheRename: a file may have its name and not its content. It is found out, served to nobody, and made again.
func TestF39PowerLossAfterTheRename(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a": strings.Repeat("1 2 3 ", 100)})
	obj := create(t, repo.URL, nil)
	until(t, obj, at(obj, "main@sha1:"+commit))
	file := filepath.Join(shared.storage, obj.Status.Artifact.Path)
	for _, left := range []int64{0, 20} {
		if err := os.Truncate(file, left); err != nil {
			t.Fatal(err)
		}
		request(t, obj)
		eventually(t, func() error {
			info, err := os.Stat(file)
			if err == nil && info.Size() != *obj.Status.Artifact.Size {
				err = fmt.Errorf("the file has %d bytes", info.Size())
			}
			return err
		})
		download(t, obj.Status.Artifact) // which compares the digest
	}
}

// TestWhatSomebodyElseLeftIsPutRight has a status as another controller, or this one with other flags, leaves it.
func TestWhatSomebodyElseLeftIsPutRight(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"charts/demo/Chart.yaml": demoChart})
	source := create(t, repo.URL, nil)
	until(t, source, func() error { return isReady(source) })
	chart := createChart(t, source, nil)
	until(t, chart, chartAt(chart, "1.2.3"))
	url, chartURL, latest := source.Status.Artifact.URL, chart.Status.Artifact.URL, chart.Status.URL

	patch, mode := client.MergeFrom(source.DeepCopy()), sourcev1.ModeGitHEAD
	source.Status.Artifact.URL, source.Status.SourceVerificationMode = "http://elsewhere/x.tar.gz", &mode
	source.Status.ObservedRecurseSubmodules = true
	apimeta.SetStatusCondition(&source.Status.Conditions, metav1.Condition{
		Type: sourcev1.SourceVerifiedCondition, Status: metav1.ConditionTrue, Reason: "Succeeded",
	})
	chartPatch := client.MergeFrom(chart.DeepCopy())
	chart.Status.Artifact.URL, chart.Status.URL = "http://elsewhere/x.tgz", "http://elsewhere/latest.tar.gz"
	err := errors.Join(shared.Status().Patch(t.Context(), source, patch), shared.Status().Patch(t.Context(), chart, chartPatch))
	if err != nil {
		t.Fatal(err)
	}
	request(t, source)
	if s := source.Status; s.Artifact.URL != url || s.SourceVerificationMode != nil || s.ObservedRecurseSubmodules || len(s.Conditions) != 2 {
		t.Errorf("the status is %+v", s)
	}
	request(t, chart)
	if s := chart.Status; s.Artifact.URL != chartURL || s.URL != latest {
		t.Errorf("the chart's status is %+v", s)
	}
}

func TestChartIsNotMadeOfAnotherArtifact(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"charts/demo/Chart.yaml": demoChart})
	source := create(t, repo.URL, nil)
	until(t, source, func() error { return isReady(source) })
	file := filepath.Join(shared.storage, source.Status.Artifact.Path)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(content, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	obj := createChart(t, source, nil)
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionUnknown, "SourceUnavailable", "stored anew")
	})
	if obj.Status.Artifact != nil {
		t.Errorf("packaged: %+v", obj.Status.Artifact)
	}
	request(t, source)
	until(t, obj, chartAt(obj, "1.2.3"))
}

// TestEmptyVolumeIsNoNews: after a restart on a new volume a chart comes back with its source, and nobody is told.
func TestEmptyVolumeIsNoNews(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	repo.Commit("one", map[string]string{"charts/demo/Chart.yaml": demoChart})
	source := create(t, repo.URL, nil)
	until(t, source, func() error { return isReady(source) })
	obj := createChart(t, source, nil)
	until(t, obj, chartAt(obj, "1.2.3"))
	before := obj.DeepCopy()

	nextSecond(t)
	for _, artifact := range []*meta.Artifact{source.Status.Artifact, obj.Status.Artifact} {
		if err := os.Remove(filepath.Join(shared.storage, artifact.Path)); err != nil {
			t.Fatal(err)
		}
	}
	request(t, obj)
	request(t, source)
	eventually(t, func() error {
		_, err := os.Stat(filepath.Join(shared.storage, before.Status.Artifact.Path))
		return err
	})
	until(t, obj, chartAt(obj, "1.2.3"))
	if diff := cmp.Diff(before.Status.Conditions, obj.Status.Conditions); diff != "" {
		t.Errorf("conditions changed (-before +after):\n%s", diff)
	}
	if obj.Status.Artifact.Digest != before.Status.Artifact.Digest {
		t.Errorf("the chart has the digest %s, before %s", obj.Status.Artifact.Digest, before.Status.Artifact.Digest)
	}
}

func TestRotatedCredentials(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	repo.Commit("one", map[string]string{"a": "1"})
	server.Protect("ada", "old-canary")
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) {
		o.Spec.SecretRef = &meta.LocalObjectReference{Name: "git"}
	})
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: obj.Namespace, Name: "git"},
		StringData: map[string]string{"username": "ada", "password": "old-canary"},
	}
	if err := shared.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	until(t, obj, func() error { return isReady(obj) })
	server.Protect("ada", "new-canary")
	request(t, obj)
	err := hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "AuthenticationFailed", "")
	if err != nil || obj.Status.Artifact == nil {
		t.Errorf("%v, artifact %+v", err, obj.Status.Artifact)
	}
	secret.StringData = map[string]string{"password": "new-canary"}
	if err := shared.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	until(t, obj, func() error { return isReady(obj) }) // by itself, long before the interval
}
