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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

func TestReconcilesAreMeasured(t *testing.T) {
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
	repo := gittest.New(t).Repo(t, "app")
	big := strings.Repeat("0123456789abcdef\n", 300_000) // is read from disk piece by piece
	repo.Commit("one", map[string]string{"a": "1", "dir/b": strings.Repeat("b\n", 20_000), "big": big})
	obj := create(t, repo.URL, nil)
	until(t, obj, func() error { return isReady(obj) })
	second := repo.Commit("two", map[string]string{"c": "2"})
	request(t, obj)
	until(t, obj, at(obj, "main@sha1:"+second))
	files := cloneFiles(t, obj)
	if len(files) < 6 { // two packs with their indexes, the boundary of the history, and the last commit
		t.Fatalf("the clone is %v", files)
	}
	round := 0
	for name, damage := range map[string]func(file string, content []byte) error{
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
	} {
		for i := range files {
			t.Run(fmt.Sprintf("%s %d", name, i), func(t *testing.T) {
				files := cloneFiles(t, obj) // as it is now
				file := files[i%len(files)]
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				lost := filepath.Join(shared.storage, obj.Status.Artifact.Path)
				if err := errors.Join(damage(file, content), os.Remove(lost)); err != nil {
					t.Fatal(err)
				}
				digest := obj.Status.Artifact.Digest
				request(t, obj)
				if err := isReady(obj); err != nil || obj.Status.Artifact.Digest != digest {
					t.Fatalf("after %s was damaged: %v, digest %s, was %s", filepath.Base(file), err, obj.Status.Artifact.Digest, digest)
				}
				round++
				commit := repo.Commit("next", map[string]string{"c": fmt.Sprint(round)})
				request(t, obj)
				if err := at(obj, "main@sha1:"+commit)(); err != nil {
					t.Fatalf("after %s was damaged: %v", filepath.Base(file), err)
				}
				if got := download(t, obj.Status.Artifact); got["c"] != fmt.Sprint(round) || got["big"] != big || len(got) != 4 {
					t.Errorf("after %s was damaged: files %s", filepath.Base(file), names(got))
				}
			})
		}
	}
}

func cloneFiles(t *testing.T, obj *sourcev1.GitRepository) (files []string) {
	t.Helper()
	clones, err := filepath.Glob(filepath.Join(shared.storage, ".git-cache", string(obj.UID)+"-*"))
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
	second := repo.Commit("two", map[string]string{"b": gittest.Random(4 << 20)})
	release := gittest.FullDisk(t, 2<<20)
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

// TestKilledBetweenFileAndStatus has what a process leaves that is killed when it has stored a commit and not said so,
// and upstream then takes the commit back.
func TestKilledBetweenFileAndStatus(t *testing.T) {
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

func TestChartIsNotMadeOfAnotherArtifact(t *testing.T) {
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
	patch := client.MergeFrom(obj.DeepCopy())
	obj.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "after-the-restart"}
	if err := shared.Patch(t.Context(), obj, patch); err != nil {
		t.Fatal(err)
	}
	until(t, obj, func() error {
		if obj.Status.LastHandledReconcileAt != "after-the-restart" {
			return errors.New("not looked at yet")
		}
		return nil
	})
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
