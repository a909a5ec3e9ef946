package plan_test

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

func TestConditions(t *testing.T) {
	artifact := &meta.Artifact{Revision: "main@sha1:1"}
	success := plan.Outcome{Generation: 2, Reason: "Succeeded", Message: "stored", Artifact: artifact, Stored: true, Upstream: "main@sha1:1"}
	failure := success
	failure.Problem = plan.FetchProblem("GitOperationFailed", "down")
	stalled := success
	stalled.Problem = &plan.Problem{Condition: "FetchFailed", Reason: "URLInvalid", Message: "bad", Terminal: true}
	disk := success
	disk.Problem, disk.Upstream, disk.Stored = plan.StorageProblem("ArchiveOperationFailed", "full"), "main@sha1:2", false
	transient := success
	transient.Problem, transient.Stored = plan.TransientProblem("SourceUnavailable", "soon"), false
	for name, tc := range map[string]struct {
		reason   string
		before   plan.Outcome
		outcome  plan.Outcome
		want     string
		observed int64
	}{
		"success": {
			reason: "only what is good is shown", before: success, outcome: success, observed: 2,
			want: "ArtifactInStorage=True/Succeeded Ready=True/Succeeded",
		},
		"failure": {
			reason: "the artifact stays, and it is tried again", before: success, outcome: failure, observed: 1,
			want: "ArtifactInStorage=True/Succeeded FetchFailed=True/GitOperationFailed Ready=False/GitOperationFailed Reconciling=True/ProgressingWithRetry",
		},
		"recovery": {
			reason: "nothing abnormal is left", before: failure, outcome: success, observed: 2,
			want: "ArtifactInStorage=True/Succeeded Ready=True/Succeeded",
		},
		"stalled": {
			reason: "only another spec helps", before: failure, outcome: stalled, observed: 2,
			want: "FetchFailed=True/URLInvalid Ready=False/URLInvalid Stalled=True/URLInvalid",
		},
		"transient": {
			reason: "what is ready stays so for the moments that it takes", before: success, outcome: transient, observed: 1,
			want: "ArtifactInStorage=True/Succeeded Ready=True/Succeeded",
		},
		"transient after a failure": {
			reason: "it is neither ready nor failed", before: failure, outcome: transient, observed: 1,
			want: "Ready=Unknown/SourceUnavailable Reconciling=True/Progressing",
		},
		"recovery from stalling": {
			reason: "nothing abnormal is left", before: stalled, outcome: success, observed: 2,
			want: "ArtifactInStorage=True/Succeeded Ready=True/Succeeded",
		},
		"behind upstream": {
			reason: "the file is lost, and upstream is ahead", before: failure, outcome: disk, observed: 1,
			want: "ArtifactOutdated=True/NewRevision Ready=False/ArchiveOperationFailed Reconciling=True/ProgressingWithRetry StorageOperationFailed=True/ArchiveOperationFailed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.before.Now, tc.outcome.Now = time.Unix(100, 0), time.Unix(200, 0)
			var got []string
			for _, c := range plan.Conditions(plan.Conditions(nil, tc.before), tc.outcome) {
				got = append(got, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
				if c.Type == meta.ReadyCondition && c.ObservedGeneration != 2 {
					t.Errorf("%s is about generation %d", c.Type, c.ObservedGeneration)
				}
			}
			sort.Strings(got)
			if strings.Join(got, " ") != tc.want {
				t.Errorf("%s:\n got %s\nwant %s", tc.reason, strings.Join(got, " "), tc.want)
			}
			if o := plan.ObservedGeneration(1, tc.outcome); o != tc.observed {
				t.Errorf("observedGeneration %d, want %d", o, tc.observed)
			}
		})
	}
}

func TestNothingOfFluxsVerificationStays(t *testing.T) {
	left := []metav1.Condition{
		{Type: sourcev1.SourceVerifiedCondition, Status: metav1.ConditionTrue, Reason: "Succeeded"},
		{Type: sourcev1.IncludeUnavailableCondition, Status: metav1.ConditionTrue, Reason: "NotFound"},
	}
	success := plan.Outcome{Generation: 1, Reason: "Succeeded", Message: "stored", Artifact: &meta.Artifact{}, Stored: true}
	for _, c := range plan.Conditions(left, success) {
		if c.Type == sourcev1.SourceVerifiedCondition || c.Type == sourcev1.IncludeUnavailableCondition {
			t.Errorf("%s is still there, and nothing was verified or included", c.Type)
		}
	}
}

func TestConditionsKeepTheirTransition(t *testing.T) {
	o := plan.Outcome{Generation: 1, Reason: "Succeeded", Message: "stored", Artifact: &meta.Artifact{}, Stored: true, Now: time.Unix(100, 0)}
	before := plan.Conditions(nil, o)
	o.Now, o.Message = time.Unix(200, 0), "stored another"
	for _, c := range plan.Conditions(before, o) {
		if !c.LastTransitionTime.Equal(&metav1.Time{Time: time.Unix(100, 0)}) {
			t.Errorf("%s moved to %s without changing its status", c.Type, c.LastTransitionTime)
		}
	}
	if before[0].Message != "stored" {
		t.Error("the conditions that were given changed")
	}
}
