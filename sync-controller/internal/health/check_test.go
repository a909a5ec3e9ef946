package health_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// objects is a cluster that holds some objects, by kind and name. It counts what is read.
type objects struct {
	client.Reader
	byName map[string]*unstructured.Unstructured
	err    error
	lists  atomic.Int32
}

func (o *objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if o.err != nil {
		return o.err
	}
	kind := into.GetObjectKind().GroupVersionKind()
	found, ok := o.byName[kind.Kind+"/"+key.Name]
	target, isUnstructured := into.(*unstructured.Unstructured)
	if !ok || !isUnstructured {
		return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, key.Name)
	}
	found.DeepCopyInto(target)
	return nil
}

func (o *objects) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	o.lists.Add(1)
	list, ok := into.(*unstructured.UnstructuredList)
	if !ok {
		return errors.New("not a list of unstructured objects")
	}
	for name, object := range o.byName {
		if strings.HasPrefix(name, "Pod/") {
			list.Items = append(list.Items, *object)
		}
	}
	return nil
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, generation: 1}
spec: {replicas: 1, selector: {matchLabels: {app: a}}}
`

const rolledOut = deployment + `
status:
  observedGeneration: 1
  replicas: 1
  updatedReplicas: 1
  readyReplicas: 1
  availableReplicas: 1
  conditions: [{type: Progressing, status: "True", reason: NewReplicaSetAvailable}, {type: Available, status: "True"}]
`

const exceeded = deployment + `
status:
  observedGeneration: 1
  replicas: 1
  updatedReplicas: 1
  conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded}]
`

const pulling = `
apiVersion: v1
kind: Pod
metadata: {name: a-1}
status:
  phase: Pending
  containerStatuses: [{name: main, state: {waiting: {reason: ErrImagePull, message: "pull from https://user:pass@registry.example.org: canary"}}}]
`

const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: a}
status: {phase: `

const job = `
apiVersion: batch/v1
kind: Job
metadata: {name: a, generation: 1}
`

const widget = `
apiVersion: example.org/v1
kind: Widget
metadata: {name: a, generation: 1}
status: {phase: PHASE, conditions: [{type: Ready, status: "False", reason: Waiting, message: "for the canary"}]}
`

// What an object can be.
const (
	healthy     = "healthy"
	progressing = "progressing"
	failed      = "failed"
)

// parse reads an object as a client does, with whole numbers.
func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestCheck(t *testing.T) {
	exprs, err := health.Compile([]kustomize.CustomHealthCheck{{
		APIVersion: "example.org/v1", Kind: "Widget",
		HealthCheckExpressions: kustomize.HealthCheckExpressions{
			Current: "status.phase == 'Done'", Failed: "status.phase == 'Broken'", InProgress: "status.phase == 'Busy'",
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		reason  string
		live    []string
		err     error // instead of the object
		kind    string
		exprs   *health.Expressions
		tainted bool
		vanish  bool
		state   string
		want    string // what the finding says
	}{
		"rolled out":          {reason: "kstatus knows workloads", live: []string{rolledOut}, kind: "Deployment", state: healthy},
		"absent":              {reason: "it may still be created", kind: "Deployment", state: progressing, want: "does not exist"},
		"no kind":             {reason: "its CRD may still come", err: &meta.NoKindMatchError{}, kind: "Widget", state: progressing, want: "no such kind is installed"},
		"denied":              {reason: "the rights may still come", err: apierrors.NewForbidden(schema.GroupResource{Resource: "widgets"}, "a", errors.New("no rights")), kind: "Widget", state: progressing, want: "cannot be read: widgets \"a\" is forbidden: no rights"},
		"being deleted":       {reason: "somebody deletes it", live: []string{strings.Replace(rolledOut, "generation: 1}", "generation: 1, deletionTimestamp: '2026-01-01T00:00:00Z'}", 1)}, kind: "Deployment", state: progressing, want: "is being deleted"},
		"claim":               {reason: "a volume is on its way", live: []string{claim + "Pending}"}, kind: "PersistentVolumeClaim", state: progressing, want: "PVC is not Bound. phase: Pending"},
		"claim bound":         {reason: "it has its volume", live: []string{claim + "Bound}"}, kind: "PersistentVolumeClaim", state: healthy},
		"no conditions":       {reason: "a kind without conditions is what it is", live: []string{"{apiVersion: example.org/v1, kind: Widget, metadata: {name: a}}"}, kind: "Widget", state: healthy},
		"job suspended":       {reason: "it is not meant to run", live: []string{job + "spec: {suspend: true}"}, kind: "Job", state: healthy},
		"not observed":        {reason: "its controller has not seen it", live: []string{deployment}, kind: "Deployment", state: progressing, want: "Replicas: 0/1"},
		"deadline":            {reason: "no pod says why", live: []string{exceeded}, kind: "Deployment", state: failed, want: "Progress deadline exceeded"},
		"image":               {reason: "a pod says why; a password in a URL is not repeated", live: []string{exceeded, pulling}, kind: "Deployment", state: failed, want: "ErrImagePull: pull from https://registry.example.org"},
		"tainted image":       {reason: "prose about an object with secret values is not repeated", live: []string{exceeded, pulling}, kind: "Deployment", tainted: true, state: failed, want: "ErrImagePull"},
		"job running":         {reason: "a Job counts once it is complete", live: []string{job + "status: {startTime: '2026-01-01T00:00:00Z', active: 1}"}, kind: "Job", state: progressing, want: "in progress"},
		"job complete":        {reason: "it is complete", live: []string{job + "status: {conditions: [{type: Complete, status: 'True'}]}"}, kind: "Job", state: healthy},
		"job failed":          {reason: "it will not run again", live: []string{job + "status: {conditions: [{type: Failed, status: 'True'}]}"}, kind: "Job", state: failed, want: "Failed"},
		"job gone":            {reason: "somebody deleted it", kind: "Job", state: progressing, want: "does not exist"},
		"job gone by itself":  {reason: "its time to live was over", kind: "Job", vanish: true, state: healthy},
		"conditions":          {reason: "a Ready condition counts for any kind", live: []string{widget}, kind: "Widget", state: progressing, want: "for the canary"},
		"tainted conditions":  {reason: "a condition may repeat the spec", live: []string{widget}, kind: "Widget", tainted: true, state: progressing, want: "not shown"},
		"expression current":  {reason: "the user's expressions count instead", live: []string{strings.Replace(widget, "PHASE", "Done", 1)}, kind: "Widget", exprs: exprs, state: healthy},
		"expression failed":   {reason: "the user's expressions count instead", live: []string{strings.Replace(widget, "PHASE", "Broken", 1)}, kind: "Widget", exprs: exprs, state: failed, want: "Waiting: for the canary"},
		"expression progress": {reason: "none is true", live: []string{strings.Replace(widget, "PHASE", "Busy", 1)}, kind: "Widget", exprs: exprs, state: progressing},
		"expression error":    {reason: "there is no status yet", live: []string{"{apiVersion: example.org/v1, kind: Widget, metadata: {name: a}}"}, kind: "Widget", exprs: exprs, state: progressing, want: "health cannot be computed"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &objects{byName: map[string]*unstructured.Unstructured{}, err: c.err}
			for _, text := range c.live {
				o := parse(t, text)
				cluster.byName[o.GetKind()+"/"+o.GetName()] = o
			}
			groups := map[string]string{"Deployment": "apps", "Job": "batch", "Widget": "example.org"}
			id := inventory.ID{Namespace: "ns", Name: "a", GroupKind: schema.GroupKind{Group: groups[c.kind], Kind: c.kind}}
			ref := health.Ref{Entry: inventory.Entry{ID: id, Version: "v1"}, Tainted: c.tainted, MayVanish: c.vanish}
			report, err := health.Check(t.Context(), cluster, []health.Ref{ref}, c.exprs)
			if err != nil {
				t.Fatal(err)
			}
			findings := report.InProgress
			if c.state == failed {
				findings = report.Failed
			}
			if c.state == healthy {
				if diff := cmp.Diff(health.Report{Ready: 1, Total: 1}, report); diff != "" {
					t.Errorf("%s:\n%s", c.reason, diff)
				}
				return
			}
			if len(findings) != 1 || !strings.Contains(findings[0].Reason, c.want) || report.Ready != 0 {
				t.Fatalf("%s: got %+v, want one %s: %s", c.reason, report, c.state, c.want)
			}
			if c.tainted && strings.Contains(findings[0].Reason, "canary") {
				t.Errorf("%s: %s", c.reason, findings[0].Reason)
			}
		})
	}
}

func TestCheckAsksFewPods(t *testing.T) {
	cluster := &objects{byName: map[string]*unstructured.Unstructured{}}
	refs := make([]health.Ref, 0, 20)
	for i := range 20 {
		o := parse(t, exceeded)
		o.SetName(strings.Repeat("a", i+1))
		cluster.byName["Deployment/"+o.GetName()] = o
		refs = append(refs, health.Ref{Entry: inventory.EntryOf(o)})
	}
	report, err := health.Check(t.Context(), cluster, refs, nil)
	if err != nil || len(report.Failed) != 20 || cluster.lists.Load() != 5 {
		t.Errorf("got %d failures, %d lists of pods and error %v, want 20, 5 and none", len(report.Failed), cluster.lists.Load(), err)
	}
}

func TestCheckEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := health.Check(ctx, &objects{err: ctx.Err()}, make([]health.Ref, 1), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context ended: a report of it would be a lie", err)
	}
}
