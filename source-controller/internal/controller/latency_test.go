package controller_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// BenchmarkCommitToArtifact takes the time from a request to look at a repository of 500 small files, which has a commit
// that changes one of them, until the status advertises that commit. Git's server and the API server are real; their
// share is in the figure, and that of git's server is reported beside it.
func BenchmarkCommitToArtifact(b *testing.B) {
	server := gittest.New(b)
	repo := server.Repo(b, "app")
	var git atomic.Int64
	server.Disturb(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		started := time.Now()
		next.ServeHTTP(w, r)
		git.Add(int64(time.Since(started)))
		return true
	})
	files := map[string]string{}
	for i := range 500 {
		files[fmt.Sprintf("apps/app-%03d/%02d/config.yaml", i/5, i%5)] = smallFile(i, 0)
	}
	commit := repo.Commit("500 files", files)
	obj := create(b, repo.URL, nil)
	until(b, obj, at(obj, "main@sha1:"+commit))
	events, err := shared.Watch(b.Context(), &sourcev1.GitRepositoryList{}, client.InNamespace(obj.Namespace))
	if err != nil {
		b.Fatal(err)
	}
	defer events.Stop()
	git.Store(0)
	for round := 1; b.Loop(); round++ {
		b.StopTimer()
		commit := repo.Commit("one file", map[string]string{"apps/app-042/01/config.yaml": smallFile(42, round)})
		b.StartTimer()
		patch := client.MergeFrom(obj.DeepCopy())
		metav1.SetMetaDataAnnotation(&obj.ObjectMeta, meta.ReconcileRequestAnnotation, time.Now().Format(time.RFC3339Nano))
		if err := shared.Patch(b.Context(), obj, patch); err != nil {
			b.Fatal(err)
		}
		awaitRevision(b, events, "main@sha1:"+commit)
	}
	b.ReportMetric(float64(git.Load())/float64(time.Millisecond)/float64(b.N), "git-ms/op")
}

func smallFile(number, round int) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-%d\ndata:\n  round: \"%d\"\n", number, round)
}

// awaitRevision waits until an event shows an artifact of a revision.
func awaitRevision(b *testing.B, events watch.Interface, revision string) {
	b.Helper()
	timeout := time.After(90 * time.Second)
	for {
		select {
		case e := <-events.ResultChan():
			if seen, ok := e.Object.(*sourcev1.GitRepository); ok && seen.Status.Artifact.HasRevision(revision) {
				return
			}
		case <-timeout:
			b.Fatalf("no artifact of %s", revision)
		}
	}
}
