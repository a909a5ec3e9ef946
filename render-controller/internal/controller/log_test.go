package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/api/bus/outbox"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
)

// lines collects what is logged: level and message first, then all values.
func lines(into *[]string) logr.Logger {
	return funcr.New(func(_, args string) { *into = append(*into, args) }, funcr.Options{Verbosity: 1, LogTimestamp: false})
}

// TestOutcomesAreLoggedOnce: a subject's life, attempt by attempt, and what its Render's log says of it.
func TestOutcomesAreLoggedOnce(t *testing.T) {
	rendered := func(objects int64, took time.Duration) *outcome {
		return &outcome{rendering: &v1alpha1.Rendering{Tag: "t", Digest: "sha256:a", Objects: objects}, built: true, took: took}
	}
	kept := &outcome{rendering: &v1alpha1.Rendering{Tag: "t", Digest: "sha256:a", Objects: 3}}
	failed := func(p plan.Problem) *outcome { return &outcome{problem: &p} }
	build := plan.Problem{Reason: "BuildFailed", Message: "a.yaml: line 3"}
	lost := func(attempt int) plan.Problem {
		return plan.Problem{Reason: "BuildFailed", Message: "the worker ended " + strings.Repeat("again ", attempt), Attempt: attempt, Retry: time.Minute}
	}
	steps := []struct {
		reason, revision string
		done             *outcome
		want             []string
	}{
		{"the source has not come that far", "", failed(plan.Problem{Reason: "ArtifactFailed", Message: "no artifact yet", Waiting: true}),
			[]string{`"level"=1 "msg"="waiting: no artifact yet" "revision"="" "source"="GitRepository/apps/web" "reason"="ArtifactFailed"`}},
		{"the first rendering", "main@1", rendered(3, 35400*time.Microsecond),
			[]string{`"level"=0 "msg"="rendered 3 objects of main@1 in 35ms" "revision"="main@1" "source"="GitRepository/apps/web" "duration"="35ms" "objects"=3`}},
		{"a pass that finds nothing", "main@1", kept, nil},
		{"a build that finds nothing, as after a restart", "main@1", rendered(3, time.Second), nil},
		{"a commit elsewhere", "main@2", kept,
			[]string{`"level"=1 "msg"="kept what was rendered, 3 objects, for main@2" "revision"="main@2" "source"="GitRepository/apps/web" "objects"=3`}},
		{"a bad commit", "main@3", failed(build),
			[]string{`"level"=0 "msg"="failed to render: a.yaml: line 3" "revision"="main@3" "source"="GitRepository/apps/web" "reason"="BuildFailed"`}},
		{"tried again", "main@3", failed(build), nil},
		{"a worse one", "main@4", failed(build),
			[]string{`"level"=0 "msg"="failed to render: a.yaml: line 3" "revision"="main@4" "source"="GitRepository/apps/web" "reason"="BuildFailed"`}},
		{"mended by going back", "main@5", kept,
			[]string{`"level"=0 "msg"="recovered: kept what was rendered, 3 objects, for main@5" "revision"="main@5" "source"="GitRepository/apps/web" "objects"=3`}},
		{"a worker is lost", "main@5", failed(lost(1)),
			[]string{`"level"=0 "msg"="failed to render: the worker ended again " "revision"="main@5" "source"="GitRepository/apps/web" "reason"="BuildFailed" "attempt"=1 "after"="1m0s"`}},
		{"and another", "main@5", failed(lost(2)),
			[]string{`"level"=1 "msg"="failed to render again: the worker ended again again " "revision"="main@5" "source"="GitRepository/apps/web" "reason"="BuildFailed" "attempt"=2 "after"="1m0s"`}},
		{"the volume is full", "main@6", failed(plan.Problem{Reason: "ArtifactFailed", Message: "no space", Operator: true, Retry: time.Second}),
			[]string{`"msg"="failed to render: no space" "error"=null "revision"="main@6" "source"="GitRepository/apps/web" "reason"="ArtifactFailed" "after"="1s"`}},
		{"room again", "main@6", &outcome{rendering: &v1alpha1.Rendering{Tag: "u", Objects: 1}, built: true, took: time.Second, warnings: []string{"a MAC"}},
			[]string{`"level"=0 "msg"="recovered: rendered 1 object of main@6 in 1s; warning: a MAC" "revision"="main@6" "source"="GitRepository/apps/web" "duration"="1s" "objects"=1`}},
	}
	scheme, err := process.Scheme(v1alpha1.AddToScheme)
	if err != nil {
		t.Fatal(err)
	}
	r := &reconciler{
		client: fake.NewClientBuilder().WithScheme(scheme).Build(), observer: &kustomizations{}, memory: newMemory(),
		options: &Options{Outbox: outbox.New(nil, outbox.Options{})},
	}
	for _, step := range steps {
		var got []string
		ctx := ctrl.LoggerInto(t.Context(), lines(&got))
		o := &observation{name: types.NamespacedName{Namespace: "apps", Name: "web"}}
		o.state.Subject = v1alpha1.Subject{Kind: "Kustomization", Name: "web", UID: "1"}
		o.source = v1alpha1.Source{Kind: "GitRepository", Namespace: "apps", Name: "web", Revision: step.revision}
		if o.state.Record, err = r.record(ctx, o.name); err != nil {
			t.Fatal(err)
		}
		if err := r.report(ctx, o, step.done); err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.reason, diff)
		}
	}
}
