package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/kustomize"
	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
	"github.com/sluice-gitops/sluice/render-controller/internal/seal"
)

// announced collects events by id.
type announced map[string]event.Event

func (a announced) Announce(id string, ev event.Event) { a[id] = ev }

func failing() *v1alpha1.Render {
	return &v1alpha1.Render{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "kustomization-web", UID: "1"},
		Source:     v1alpha1.Source{Revision: "main@sha1:1"},
		Status: v1alpha1.RenderStatus{Conditions: []metav1.Condition{{
			Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Reason: "BuildFailed", Message: "a.yaml: line 3",
			LastTransitionTime: metav1.NewTime(time.Unix(1000, 0)),
		}}},
	}
}

func TestAnnounce(t *testing.T) {
	out := announced{}
	record := failing()
	announce(out, record)
	record.Source.Revision = "main@sha1:2"
	announce(out, record) // the same transition, seen again later
	if len(out) != 1 {
		t.Fatalf("%d ids for one transition", len(out))
	}
	for id, ev := range out {
		env, err := event.Wrap(id, ev)
		if err != nil {
			t.Fatal(err)
		}
		if want := "sluice.events.render-controller.Render.apps.kustomization-web.BuildFailed"; env.Subject != want {
			t.Errorf("subject %s, want %s", env.Subject, want)
		}
		if ev.Severity != "error" || ev.Message != "a.yaml: line 3" || ev.InvolvedObject.UID != "1" {
			t.Errorf("event %+v", ev)
		}
	}
	announce(out, &v1alpha1.Render{})
	if len(out) != 1 {
		t.Error("a record without a verdict was announced")
	}
}

func TestTransitioned(t *testing.T) {
	changed := failing()
	changed.Status.Conditions[0].Reason = "ArtifactFailed"
	message := failing()
	message.Status.Conditions[0].Message = "other"
	for name, c := range map[string]struct {
		reason string
		before *v1alpha1.Render
		after  *v1alpha1.Render
		want   bool
	}{
		"first":         {"there was no record", nil, failing(), true},
		"same":          {"nothing changed", failing(), failing(), false},
		"other reason":  {"it fails for another reason", failing(), changed, true},
		"other message": {"the verdict is the same", failing(), message, false},
		"no verdict":    {"there was none", &v1alpha1.Render{}, failing(), true},
	} {
		if got := transitioned(c.before, c.after); got != c.want {
			t.Errorf("%s (%s): %v, want %v", name, c.reason, got, c.want)
		}
	}
}

func TestRecordFor(t *testing.T) {
	r := &reconciler{observer: &kustomizations{}}
	o := &observation{name: types.NamespacedName{Namespace: "apps", Name: "web"}}
	o.state.Subject = v1alpha1.Subject{Kind: "Kustomization", Name: "web", UID: "2"}
	o.state.Record = failing()
	o.state.Record.Subject.UID, o.state.Record.Rendering = "1", &v1alpha1.Rendering{Tag: "old"}
	got := r.recordFor(o, &outcome{problem: &plan.Problem{Reason: "BuildFailed", Message: strings.Repeat("x", 2*maxMessage)}})
	if got.Rendering != nil || got.Subject.UID != "2" || got.OwnerReferences[0].UID != "2" {
		t.Errorf("a recreated subject has what was the one's before: %+v", got)
	}
	if length := len(got.Status.Conditions[0].Message); length > maxMessage {
		t.Errorf("a message of %d bytes", length)
	}
}

func TestMemory(t *testing.T) {
	m := newMemory()
	name := types.NamespacedName{Namespace: "apps", Name: "web"}
	m.update(name, func(latest *memo) { *latest = memo{uid: "1", tag: "t"} })
	if got := m.update(name, func(latest *memo) { latest.yielded = "d" }); got.tag != "t" || got.yielded != "d" {
		t.Errorf("an update of one field gave %+v", got)
	}
	for reason, c := range map[string]struct {
		uid  types.UID
		want string
	}{"the same": {"1", "t"}, "another subject": {"2", ""}} {
		if got := m.get(name, c.uid); got.tag != c.want {
			t.Errorf("%s: %q, want %q", reason, got.tag, c.want)
		}
	}
	m.forget(name)
	if m.get(name, "1").tag != "" {
		t.Error("it was not forgotten")
	}
}

func TestSettingsDiffer(t *testing.T) {
	one, two := &observation{}, &observation{}
	one.job.Kustomize, two.job.Kustomize = &kustomize.Input{Path: "a"}, &kustomize.Input{Path: "b"}
	for _, o := range []*observation{one, two} {
		if err := o.sum(); err != nil {
			t.Fatal(err)
		}
	}
	if one.settings == two.settings {
		t.Error("two paths have one fingerprint")
	}
}

func TestTooLarge(t *testing.T) {
	r := &reconciler{options: &Options{Seals: &seal.Store{Client: fake.NewClientBuilder().Build(), Namespace: "flux-system", Clock: clock.RealClock{}}}}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings"},
		"data": map[string]any{"color": strings.Repeat("x", rendering.MaxObject)},
	}}
	_, _, err := r.tags(t.Context(), &render.Result{Content: rendering.Content{Objects: []rendering.Object{{Object: object}}}})
	reported := r.problemOf(&observation{}, err)
	if reported == nil || reported.Reason != render.ReasonBuild || !strings.Contains(reported.Message, "ConfigMap") ||
		!strings.Contains(reported.Message, "settings") || !strings.Contains(reported.Message, "bytes") {
		t.Errorf("error %v, reported %+v", err, reported)
	}
}
