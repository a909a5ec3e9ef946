package controller_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

func include(name, from, to string) sourcev1.GitRepositoryInclude {
	return sourcev1.GitRepositoryInclude{GitRepositoryRef: meta.LocalObjectReference{Name: name}, FromPath: from, ToPath: to}
}

// beside creates a GitRepository in the namespace of another one.
func beside(t *testing.T, other *sourcev1.GitRepository, name, url string, change func(*sourcev1.GitRepository)) *sourcev1.GitRepository {
	t.Helper()
	obj := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: name},
		Spec:       sourcev1.GitRepositorySpec{URL: url, Interval: other.Spec.Interval, Reference: &sourcev1.GitRepositoryRef{Branch: "main"}},
	}
	if change != nil {
		change(obj)
	}
	if err := shared.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func TestIncludeFollows(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	app, lib := server.Repo(t, "app"), server.Repo(t, "lib")
	first := app.Commit("one", map[string]string{"a.yaml": "1", "apps/x.yaml": "1"})
	libFirst := lib.Commit("one", map[string]string{"deploy/b.yaml": "1", "deploy/c.txt": "1", "README.md": "1"})
	ignore := "*.txt\n"
	obj := create(t, app.URL, func(o *sourcev1.GitRepository) {
		o.Spec.Ignore, o.Spec.SparseCheckout = &ignore, []string{"apps"}
		o.Spec.Include = []sourcev1.GitRepositoryInclude{include("lib", "deploy", "base/lib")}
	})
	until(t, obj, func() error {
		return hasCondition(obj, sourcev1.IncludeUnavailableCondition, metav1.ConditionTrue, "NotFound", "GitRepository "+obj.Namespace+"/lib of spec.include does not exist")
	})
	source := beside(t, obj, "lib", lib.URL, nil)
	until(t, obj, at(obj, "main@sha1:"+first))
	if got := names(download(t, obj.Status.Artifact)); got != "apps/x.yaml base/lib/b.yaml" {
		t.Errorf("files: %s", got)
	}
	if len(obj.Status.Conditions) != 2 || len(obj.Status.IncludedArtifacts) != 1 || !obj.Status.IncludedArtifacts[0].HasRevision("main@sha1:"+libFirst) ||
		len(obj.Status.ObservedInclude) != 1 {
		t.Errorf("status: %+v", obj.Status)
	}
	// Its path, url, size, lastUpdateTime and metadata, too.
	if err := shared.Get(t.Context(), client.ObjectKeyFromObject(source), source); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(source.Status.Artifact, obj.Status.IncludedArtifacts[0]); diff != "" {
		t.Errorf("what is included is told differently from how its source tells it: %s", diff)
	}
	digest := obj.Status.Artifact.Digest

	second := lib.Commit("two", map[string]string{"deploy/d.yaml": "2"})
	request(t, source)
	until(t, obj, func() error { // nobody asks it
		if obj.Status.Artifact.Digest == digest || !obj.Status.IncludedArtifacts[0].HasRevision("main@sha1:"+second) {
			return errors.New("it does not follow what it includes")
		}
		return at(obj, "main@sha1:"+first)()
	})
	if got := names(download(t, obj.Status.Artifact)); got != "apps/x.yaml base/lib/b.yaml base/lib/d.yaml" {
		t.Errorf("files: %s", got)
	}

	lost := filepath.Join(shared.storage, obj.Status.Artifact.Path)
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	server.Disturb(gittest.Status(502))
	digest = obj.Status.Artifact.Digest
	request(t, obj)
	if download(t, obj.Status.Artifact); obj.Status.Artifact.Digest != digest {
		t.Error("restored with other content")
	}
	server.Disturb(nil)

	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Include[0].FromPath = "nope" })
	until(t, obj, func() error {
		return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "", `no such folder: "nope"`)
	})
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Include[0].FromPath, s.Include[0].ToPath = "", "apps" })
	until(t, obj, func() error {
		return hasCondition(obj, sourcev1.StorageOperationFailedCondition, metav1.ConditionTrue, "CopyFailure", "choose another toPath")
	})
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Include, s.SparseCheckout = nil, nil })
	until(t, obj, func() error {
		if len(obj.Status.IncludedArtifacts) > 0 || len(obj.Status.ObservedInclude) > 0 {
			return errors.New("it still says that it includes")
		}
		return at(obj, "main@sha1:"+first)()
	})
}

// TestIncludeLoopsEnd: what includes itself, by way of others perhaps, is refused rather than built for ever.
func TestIncludeLoopsEnd(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	repo := server.Repo(t, "app")
	first := repo.Commit("one", map[string]string{"a": "1"})
	a := create(t, repo.URL, nil)
	until(t, a, at(a, "main@sha1:"+first))
	b := beside(t, a, "b", repo.URL, func(o *sourcev1.GitRepository) {
		o.Spec.Include = []sourcev1.GitRepositoryInclude{include("app", "", "from-a")}
	})
	until(t, b, at(b, "main@sha1:"+first))
	edit(t, a, func(s *sourcev1.GitRepositorySpec) {
		s.Include = []sourcev1.GitRepositoryInclude{include("b", "", "from-b")}
	})
	until(t, a, func() error {
		return hasCondition(a, sourcev1.IncludeUnavailableCondition, metav1.ConditionTrue, "IncludeLoop", "app → b → app")
	})
	request(t, b)
	if err := hasCondition(b, meta.ReadyCondition, metav1.ConditionFalse, "IncludeLoop", "b → app → b"); err != nil {
		t.Error(err)
	}
	own := beside(t, a, "own", repo.URL, func(o *sourcev1.GitRepository) {
		o.Spec.Include = []sourcev1.GitRepositoryInclude{include("own", "", "x")}
	})
	until(t, own, func() error {
		return hasCondition(own, meta.ReadyCondition, metav1.ConditionFalse, "IncludeLoop", "own → own")
	})
	edit(t, a, func(s *sourcev1.GitRepositorySpec) { s.Include = nil })
	until(t, a, at(a, "main@sha1:"+first))
	request(t, b)
	until(t, b, at(b, "main@sha1:"+first))
	if got := names(download(t, b.Status.Artifact)); got != "a from-a/a" {
		t.Errorf("files: %s", got)
	}
}

func TestSubmodulesArrive(t *testing.T) {
	t.Parallel()
	server := gittest.New(t)
	lib, app := server.Repo(t, "lib"), server.Repo(t, "app")
	libAt := lib.Commit("one", map[string]string{"chart.yaml": "1"})
	app.Submodule("libs/lib", "../lib.git", libAt)
	first := app.Commit("one", map[string]string{"a.yaml": "1"})
	obj := create(t, app.URL, nil)
	until(t, obj, at(obj, "main@sha1:"+first))
	if got := names(download(t, obj.Status.Artifact)); got != "a.yaml" {
		t.Errorf("files: %s", got)
	}
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.RecurseSubmodules = true })
	until(t, obj, func() error {
		if !obj.Status.ObservedRecurseSubmodules {
			return errors.New("not packed again")
		}
		return at(obj, "main@sha1:"+first)()
	})
	if got := names(download(t, obj.Status.Artifact)); got != "a.yaml libs/lib/chart.yaml" {
		t.Errorf("files: %s", got)
	}
	if err := os.Remove(filepath.Join(shared.storage, obj.Status.Artifact.Path)); err != nil {
		t.Fatal(err)
	}
	server.Disturb(gittest.Status(502)) // it is made again without upstream, submodules and all
	digest := obj.Status.Artifact.Digest
	request(t, obj)
	if download(t, obj.Status.Artifact); obj.Status.Artifact.Digest != digest {
		t.Error("restored with other content")
	}
	server.Disturb(nil)

	app.Submodule("libs/lib", "../lib.git", strings.Repeat("ab", 20))
	app.Commit("two", nil)
	request(t, obj)
	err := hasCondition(obj, sourcev1.FetchFailedCondition, metav1.ConditionTrue, "GitOperationFailed", `submodule "libs/lib": commit not found`)
	if err != nil || !obj.Status.Artifact.HasRevision("main@sha1:"+first) {
		t.Error(err)
	}
	damaged, err := filepath.Glob(clonesOf(obj) + "/objects/pack/*.pack")
	if err != nil || len(damaged) < 2 {
		t.Fatal(damaged, err)
	}
	for _, pack := range damaged { // the submodule's among them
		if err := os.Truncate(pack, 20); err != nil {
			t.Fatal(err)
		}
	}
	app.Submodule("libs/lib", "../lib.git", libAt)
	third := app.Commit("three", map[string]string{"b.yaml": "1"})
	request(t, obj)
	until(t, obj, at(obj, "main@sha1:"+third))
	if got := names(download(t, obj.Status.Artifact)); got != "a.yaml b.yaml libs/lib/chart.yaml" {
		t.Error(fmt.Sprint("files: ", got))
	}
}
