package report

import (
	"cmp"
	"strings"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// Change is what is said when an object has an artifact with other content.
type Change struct {
	// Reason of the event; empty for NewArtifact.
	Reason string
	// Message of the event; empty for the Ready condition's.
	Message string
	// AsReady is set when the reason is the Ready condition's.
	AsReady bool
}

// Emit says what changed between two states of an object, in the cluster and on the bus; nothing if nothing did. Of a new
// revision with the content of the last only the bus is told, where commit statuses are made of it.
func (r *Reporter) Emit(before, after Object, change Change) {
	news := changed(before, after)
	if !news && !moved(before, after) {
		return
	}
	id, ev, ok := r.event(after, change)
	if !ok {
		return
	}
	if !news {
		ev.Metadata[sourcev1.GroupVersion.Group+"/"+eventv1.MetaCommitStatusKey] = eventv1.MetaCommitStatusUpdateValue
		r.announce(id, ev)
		return
	}
	kind := corev1.EventTypeNormal
	if ev.Severity == eventv1.EventSeverityError {
		kind = corev1.EventTypeWarning
	}
	r.Events.AnnotatedEventf(after, ev.Metadata, kind, ev.Reason, "%s", ev.Message)
	r.announce(id, ev)
}

// Reannounce says on the bus again where an object stands. What was said before has the same id.
func (r *Reporter) Reannounce(obj Object, change Change) {
	if id, ev, ok := r.event(obj, change); ok {
		r.announce(id, ev)
	}
}

func (r *Reporter) announce(id string, ev event.Event) {
	if r.Bus != nil {
		r.Bus.Announce(id, ev)
	}
}

func changed(before, after Object) bool {
	was, is := ready(before), ready(after)
	if is == nil || is.Status == metav1.ConditionUnknown {
		return false
	}
	if was == nil || was.Status != is.Status {
		return true
	}
	if is.Status != metav1.ConditionTrue {
		return was.Reason != is.Reason || was.Message != is.Message
	}
	return digest(before) != digest(after)
}

// moved reports whether what is ready has another revision.
func moved(before, after Object) bool {
	was, is := before.GetArtifact(), after.GetArtifact()
	return was != nil && is != nil && was.Revision != is.Revision && apimeta.IsStatusConditionTrue(after.GetConditions(), meta.ReadyCondition)
}

// event is what there is to say about an object's state: the failure, the new artifact, or the recovery if the artifact
// is older than the Ready condition. It depends on nothing but the object, so that saying it again gives the same id.
func (r *Reporter) event(obj Object, change Change) (string, event.Event, bool) {
	c := ready(obj)
	if c == nil || c.Status == metav1.ConditionUnknown {
		return "", event.Event{}, false
	}
	ev := event.Event{
		Severity: eventv1.EventSeverityInfo, Reason: c.Reason, Message: c.Message,
		Timestamp: c.LastTransitionTime, Metadata: metadata(obj),
		ReportingController: Controller, ReportingInstance: r.Host,
	}
	gvk := sourcev1.GroupVersion.WithKind(r.Kind)
	ev.InvolvedObject = corev1.ObjectReference{
		APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind,
		Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
	}
	artifact := obj.GetArtifact()
	switch {
	case c.Status != metav1.ConditionTrue:
		ev.Severity = eventv1.EventSeverityError
	case artifact != nil && !artifact.LastUpdateTime.Before(&c.LastTransitionTime):
		if ev.Timestamp = artifact.LastUpdateTime; !change.AsReady {
			ev.Reason = cmp.Or(change.Reason, plan.ReasonNewArtifact)
		}
		if change.Message != "" {
			ev.Message = change.Message
		}
	default:
		ev.Reason = meta.SucceededReason
	}
	// The digest tells apart two artifacts of one revision, which differ when what is ignored changes.
	id := event.ID(obj.GetUID(), c.LastTransitionTime.Time, ev.Reason, identity(artifact, c))
	return id, ev, true
}

// identity is what makes an event another one beside the transition: the artifact, or the text of the failure.
func identity(artifact *meta.Artifact, c *metav1.Condition) string {
	if c.Status != metav1.ConditionTrue {
		return c.Message
	}
	if artifact == nil {
		return ""
	}
	return artifact.Revision + " " + artifact.Digest
}

// metadata has Flux's keys, and the annotations that users add for their notifications.
func metadata(obj Object) map[string]string {
	out := map[string]string{}
	for key, value := range obj.GetAnnotations() {
		if strings.HasPrefix(key, eventv1.Group+"/") {
			out[key] = value
		}
	}
	if a := obj.GetArtifact(); a != nil {
		out[sourcev1.GroupVersion.Group+"/"+eventv1.MetaRevisionKey] = a.Revision
		out[sourcev1.GroupVersion.Group+"/"+eventv1.MetaDigestKey] = a.Digest
	}
	return out
}

func ready(obj Object) *metav1.Condition {
	return apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition)
}

func digest(obj Object) string {
	if a := obj.GetArtifact(); a != nil {
		return a.Digest
	}
	return ""
}
