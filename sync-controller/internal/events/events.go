// Package events tells the world what happened: core/v1 Events beside the subject, and the same to the bus. Nothing else in
// sync-controller does.
package events

import (
	"fmt"
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

// annotationPrefix is that of the annotations that users put on a subject for its events.
const annotationPrefix = eventv1.Group + "/"

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
	// Dependency is how soon a subject is looked at again whose dependencies are not ready.
	Dependency time.Duration
	Now        func() time.Time
}

// Emit writes a core/v1 Event and the same to the bus. What is emitted is told once, whatever else happens to the subject
// within the same second. at is when it happened.
func (e *Emitter) Emit(s subject.Subject, at time.Time, eventType, reason string, lines ...string) {
	e.record(s, eventType, reason, bounded(lines))
	e.EmitAway(s, at, eventType, reason, lines...)
}

// EmitAway sends to the bus alone what nobody could read beside the subject: its namespace is going, and takes no Events.
func (e *Emitter) EmitAway(s subject.Subject, at time.Time, eventType, reason string, lines ...string) {
	e.publish(s, at, eventType, reason, bounded(lines))
}

func bounded(lines []string) string { return strings.Join(lines[:min(len(lines), maxLines)], "\n") }

// publish sends an event to the bus alone.
func (e *Emitter) publish(s subject.Subject, at time.Time, eventType, reason, message string) {
	severity := eventv1.EventSeverityInfo
	if eventType == Warning {
		severity = eventv1.EventSeverityError
	}
	id := event.ID(s.Object().GetUID(), at, reason, s.Version()+" "+message)
	e.announce(s, id, severity, reason, message, e.metadata(s, nil))
}

// State sends the outcome of a subject's latest attempt to the bus unless that is what was sent last: that it finished, for
// the status of a commit, or what the Ready condition says. It returns the event's id, which is the same for the same outcome
// whoever announces it, and whenever.
func (e *Emitter) State(s subject.Subject, last string) string {
	ready := subject.Ready(s)
	if ready == nil || ready.Status == metav1.ConditionUnknown {
		return ""
	}
	severity := eventv1.EventSeverityInfo
	message, version := e.wording(ready.Reason, ready.Message), s.Version()
	extra := map[string]string{}
	switch finished, attempt := s.Finished(); {
	case ready.Status == metav1.ConditionTrue && finished != "":
		message, version = finished, version+" "+attempt
		extra[eventv1.MetaCommitStatusKey] = eventv1.MetaCommitStatusUpdateValue
	case isFailure(string(ready.Status), ready.Reason):
		severity = eventv1.EventSeverityError
	}
	id := event.ID(s.Object().GetUID(), ready.LastTransitionTime.Time, ready.Reason, version)
	if id == last {
		return ""
	}
	e.announce(s, id, severity, ready.Reason, message, e.metadata(s, extra))
	return id
}

// wording is a condition's message as an event has it: by these beginnings Alerts leave out what waits for dependencies.
func (e *Emitter) wording(reason, message string) string {
	switch {
	case reason != plan.ReasonDependency:
		return message
	case e.Kind.ListsChanges:
		return fmt.Sprintf("Dependencies do not meet ready condition, retrying in %s: %s", e.Dependency, message)
	}
	return fmt.Sprintf("dependencies do not meet ready condition (%s): retrying in %s", message, e.Dependency)
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
