package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
)

// maxMessage is the longest message of a condition, in bytes.
const maxMessage = 4096

// report writes the subject's Render, in one request, unless it says all this already.
func (r *reconciler) report(ctx context.Context, o *observation, done *outcome) error {
	want := r.recordFor(o, done)
	have := o.state.Record
	var err error
	switch {
	case have == nil:
		err = r.client.Create(ctx, want)
	case equality.Semantic.DeepEqual(have, want):
		return nil
	default:
		err = r.client.Update(ctx, want)
	}
	if err != nil {
		return err
	}
	if transitioned(have, want) {
		announce(r.options.Outbox, want)
	}
	if have != nil && have.Source.Revision != want.Source.Revision && done.problem == nil && !done.built {
		r.options.Metrics.Kept(r.observer.kind())
	}
	logOutcome(ctrl.LoggerFrom(ctx), have, want, done)
	return nil
}

// recordFor is the Render that tells of an outcome.
func (r *reconciler) recordFor(o *observation, done *outcome) *v1alpha1.Render {
	record := &v1alpha1.Render{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.name.Namespace, Name: v1alpha1.RecordName(r.observer.kind(), o.name.Name),
	}}
	if o.state.Record != nil {
		record = o.state.Record.DeepCopy()
	}
	record.OwnerReferences = []metav1.OwnerReference{ownerOf(r, o)}
	record.Rendering = plan.Good(&o.state)
	if record.Rendering == nil {
		record.Release = nil
	}
	record.Subject, record.Source = o.state.Subject, o.source
	ready := metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason}
	if done.problem != nil {
		ready.Status, ready.Reason = metav1.ConditionFalse, done.problem.Reason
		if done.problem.Waiting {
			ready.Status = metav1.ConditionUnknown
		}
		ready.Message = event.Shorten(done.problem.Message, maxMessage)
	} else {
		record.Rendering, record.Release = done.rendering, o.state.Release
		ready.Message = event.Shorten(success(o, done), maxMessage)
	}
	apimeta.SetStatusCondition(&record.Status.Conditions, ready)
	return record
}

func success(o *observation, done *outcome) string {
	message := "rendered " + count(done.rendering.Objects) + " of " + o.source.Revision
	if len(done.warnings) > 0 {
		message += "; warning: " + strings.Join(done.warnings, "; ")
	}
	return message
}

func count(objects int64) string {
	if objects == 1 {
		return "1 object"
	}
	return fmt.Sprintf("%d objects", objects)
}

// ownerOf refers to the subject, so that the record goes with it.
func ownerOf(r *reconciler, o *observation) metav1.OwnerReference {
	controller := true
	version, kind := r.observer.groupVersion(), r.observer.kind()
	return metav1.OwnerReference{
		APIVersion: version, Kind: kind, Name: o.name.Name, UID: o.state.Subject.UID, Controller: &controller,
	}
}

// transitioned says whether a record's verdict changed.
func transitioned(before, after *v1alpha1.Render) bool {
	now := apimeta.FindStatusCondition(after.Status.Conditions, meta.ReadyCondition)
	if before == nil {
		return true
	}
	was := apimeta.FindStatusCondition(before.Status.Conditions, meta.ReadyCondition)
	return was == nil || was.Status != now.Status || was.Reason != now.Reason
}

// componentName is what events name as their reporter.
const componentName = "render-controller"

// announcer is what events are handed to.
type announcer interface {
	Announce(id string, ev event.Event)
}

// announce tells the bus of a Render's verdict. Repeating it is harmless: the id is that of the transition.
func announce(out announcer, record *v1alpha1.Render) {
	ready := apimeta.FindStatusCondition(record.Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status == metav1.ConditionUnknown {
		return
	}
	ev := event.Event{
		Severity: "info", Timestamp: metav1.Time{Time: time.Now()}, Message: ready.Message, Reason: ready.Reason,
		ReportingController: componentName,
		Metadata:            map[string]string{v1alpha1.GroupVersion.Group + "/revision": record.Source.Revision},
	}
	if ready.Status == metav1.ConditionFalse {
		ev.Severity = "error"
	}
	ev.InvolvedObject.APIVersion = v1alpha1.GroupVersion.String()
	ev.InvolvedObject.Kind = v1alpha1.RenderKind
	ev.InvolvedObject.Namespace, ev.InvolvedObject.Name = record.Namespace, record.Name
	ev.InvolvedObject.UID, ev.InvolvedObject.ResourceVersion = record.UID, record.ResourceVersion
	out.Announce(event.ID(record.UID, ready.LastTransitionTime.Time, ready.Reason, ""), ev)
}
