// Package events tells the world what happened: core/v1 Events beside the subject, and the same to the bus. Nothing else in
// sync-controller does.
package events

import (
	"maps"
	"os"
	"strings"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Severities of what is emitted.
const (
	Normal  = corev1.EventTypeNormal
	Warning = corev1.EventTypeWarning
)

// Bounds of an event's message.
const (
	// maxMessage of a core/v1 Event, in bytes; the API server takes 1024.
	maxMessage = 1000
	// maxLines is how many objects are named.
	maxLines = 50
)

// commitStatus marks an event that is only there to update the status of a commit.
const (
	commitStatusKey   = "commit_status"
	commitStatusValue = "update"
	annotationPrefix  = "event.toolkit.fluxcd.io/"
)

// Announcer takes events off the reconcile path. It is outbox.Outbox outside of tests.
type Announcer interface {
	Announce(id string, ev event.Event)
}

// Emitter emits the events of the subjects of one kind. Fill in the fields; it is safe for concurrent use.
type Emitter struct {
	Kind subject.Kind
	// Recorder writes core/v1 Events, Announcer everything that goes to the bus.
	Recorder  record.EventRecorder
	Announcer Announcer
	Now       func() time.Time
}

// Emit writes a core/v1 Event and the same to the bus. What is emitted is told once, whatever else happens to the subject
// within the same second. at is when it happened.
func (e *Emitter) Emit(s subject.Subject, at time.Time, eventType, reason string, lines ...string) {
	message := strings.Join(lines[:min(len(lines), maxLines)], "\n")
	e.record(s, eventType, reason, message)
	severity := eventv1.EventSeverityInfo
	if eventType == Warning {
		severity = eventv1.EventSeverityError
	}
	id := event.ID(s.Object().GetUID(), at, reason, s.Version()+" "+message)
	e.announce(s, id, severity, reason, message, e.metadata(s, nil))
}

// State sends the Ready condition of a subject to the bus unless that is what was sent last. It returns the event's id,
// which is the same for the same state whoever announces it, and whenever.
func (e *Emitter) State(s subject.Subject, last string) string {
	ready := subject.Ready(s)
	if ready == nil || ready.Status == metav1.ConditionUnknown {
		return ""
	}
	id := event.ID(s.Object().GetUID(), ready.LastTransitionTime.Time, ready.Reason, s.Version())
	if id == last {
		return ""
	}
	severity := eventv1.EventSeverityInfo
	extra := map[string]string{}
	switch {
	case ready.Status == metav1.ConditionTrue && e.Kind.ListsChanges:
		extra[commitStatusKey] = commitStatusValue
	case isFailure(string(ready.Status), ready.Reason):
		severity = eventv1.EventSeverityError
	}
	e.announce(s, id, severity, ready.Reason, ready.Message, e.metadata(s, extra))
	return id
}

// isFailure says whether a Ready condition is one that somebody should be woken up for: to wait for a dependency is not, as
// in Flux; what it waits for tells of its own failure.
func isFailure(status, reason string) bool {
	return status == string(metav1.ConditionFalse) && reason != plan.ReasonDependency
}

// record writes a core/v1 Event.
func (e *Emitter) record(s subject.Subject, eventType, reason, message string) {
	e.Recorder.AnnotatedEventf(s.Object(), e.metadata(s, nil), eventType, reason, "%s", event.Shorten(message, maxMessage))
}

func (e *Emitter) announce(s subject.Subject, id, severity, reason, message string, metadata map[string]string) {
	o := s.Object()
	host, _ := os.Hostname()
	e.Announcer.Announce(id, event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: e.Kind.Group + "/" + e.Kind.Version, Kind: e.Kind.Name, Namespace: o.GetNamespace(), Name: o.GetName(),
			UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
		},
		Severity: severity, Timestamp: metav1.NewTime(e.Now()), Message: message, Reason: reason,
		Metadata: metadata, ReportingController: config.Name, ReportingInstance: host,
	})
}

// metadata are the annotations of a subject's events: what the user put on the subject for that, and its revisions.
func (e *Emitter) metadata(s subject.Subject, extra map[string]string) map[string]string {
	metadata := make(map[string]string)
	for key, value := range s.Object().GetAnnotations() {
		if strings.HasPrefix(key, annotationPrefix) {
			metadata[key] = value
		}
	}
	own := maps.Clone(s.Revisions())
	maps.Copy(own, extra)
	for key, value := range own {
		if value != "" {
			metadata[e.Kind.Group+"/"+key] = value
		}
	}
	return metadata
}
