package attempt

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

type repositories struct {
	Kind[*sourcev1.GitRepository]
}

func (repositories) Status(obj *sourcev1.GitRepository) Status {
	s := &obj.Status
	return Status{
		Conditions: &s.Conditions, Artifact: &s.Artifact, ObservedGeneration: &s.ObservedGeneration, Handled: &s.ReconcileRequestStatus,
	}
}

// TestNewArtifactIsAsNewAsItsCondition holds that whoever compares the two sees a new artifact, not a recovery with an old
// one, however long it took to come from the one to the other.
func TestNewArtifactIsAsNewAsItsCondition(t *testing.T) {
	files, err := store.Open(t.TempDir(), store.Options{Address: "source"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(100, 0)
	r := &Runner[*sourcev1.GitRepository]{Reporter: &report.Reporter{}, Store: files, Clock: func() time.Time {
		now = now.Add(time.Second)
		return now
	}}
	var obj sourcev1.GitRepository
	out := Outcome[*sourcev1.GitRepository]{
		Decision: plan.Decision{Step: plan.Build}, Stored: true,
		Artifact: &meta.Artifact{Path: "gitrepository/a/b/c.tar.gz", Revision: "main@sha1:1"},
	}
	for _, what := range []string{"the first artifact", "the same artifact"} {
		r.status(&obj, repositories{}, out)
		ready := apimeta.FindStatusCondition(obj.Status.Conditions, meta.ReadyCondition)
		if a := obj.Status.Artifact; ready == nil || a.LastUpdateTime.IsZero() || !a.LastUpdateTime.Equal(&ready.LastTransitionTime) {
			t.Errorf("%s is of %s, the condition %+v", what, a.LastUpdateTime, ready)
		}
		out.Artifact = obj.Status.Artifact
	}
}
