package controller

import (
	"context"
	"maps"
	"os"
	"strings"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// maxEvent bounds the message of a core/v1 Event, in bytes; the API server takes 1024.
const maxEvent = 1000

// commitStatus marks an event that is only there to update the status of a commit.
const (
	commitStatusKey   = "commit_status"
	commitStatusValue = "update"
	eventAnnotations  = "event.toolkit.fluxcd.io/"
)

// tell writes a core/v1 Event and the same to the bus. What is told there is told once, whatever else happens to the
// subject within the same second.
func (p *pass) tell(eventType, reason, message string) {
	p.write(eventType, reason, message)
	severity := eventv1.EventSeverityInfo
	if eventType == corev1.EventTypeWarning {
		severity = eventv1.EventSeverityError
	}
	id := event.ID(p.subject.object().GetUID(), p.now, reason, p.subject.version()+" "+message)
	p.announce(p.subject, id, severity, reason, message, p.metadata(nil))
}

// write writes a core/v1 Event.
func (p *pass) write(eventType, reason, message string) {
	p.Recorder.AnnotatedEventf(p.subject.object(), p.metadata(nil), eventType, reason, "%s", event.Shorten(message, maxEvent))
}

// announceState sends the subject's Ready condition to the bus, once per state and revision.
func (p *pass) announceState() {
	if id := p.announceReady(p.subject, p.mem.announced); id != "" {
		p.mem.announced = id
	}
}

// announceReady sends the Ready condition of a subject to the bus unless that is what was sent last. It returns the
// event's id, which is the same for the same state whoever announces it, and whenever.
func (r *Reconciler) announceReady(s subject, last string) string {
	ready := apimeta.FindStatusCondition(*s.conditions(), meta.ReadyCondition)
	if ready == nil || ready.Status == metav1.ConditionUnknown {
		return ""
	}
	id := event.ID(s.object().GetUID(), ready.LastTransitionTime.Time, ready.Reason, s.version())
	if id == last {
		return ""
	}
	severity := eventv1.EventSeverityInfo
	extra := map[string]string{}
	switch {
	case ready.Status == metav1.ConditionTrue && r.Kind.listsChanges:
		extra[commitStatusKey] = commitStatusValue
	case isFailure(string(ready.Status), ready.Reason):
		severity = eventv1.EventSeverityError
	}
	r.announce(s, id, severity, ready.Reason, ready.Message, r.metadataOf(s, extra))
	return id
}

// isFailure says whether a Ready condition is one that somebody should be woken up for: to wait for a dependency is not, as
// in Flux; what it waits for tells of its own failure.
func isFailure(status, reason string) bool {
	return status == string(metav1.ConditionFalse) && reason != plan.ReasonDependency
}

func (r *Reconciler) announce(s subject, id, severity, reason, message string, metadata map[string]string) {
	o := s.object()
	host, _ := os.Hostname()
	r.Announcer.Announce(id, event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: r.Kind.group + "/" + r.Kind.version, Kind: r.Kind.name, Namespace: o.GetNamespace(), Name: o.GetName(),
			UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
		},
		Severity: severity, Timestamp: metav1.NewTime(r.Now()), Message: message, Reason: reason,
		Metadata: metadata, ReportingController: Name, ReportingInstance: host,
	})
}

func (p *pass) metadata(extra map[string]string) map[string]string {
	return p.metadataOf(p.subject, extra)
}

// metadataOf are the annotations of a subject's events: what the user put on the subject for that, and its revisions.
func (r *Reconciler) metadataOf(s subject, extra map[string]string) map[string]string {
	metadata := make(map[string]string)
	for key, value := range s.object().GetAnnotations() {
		if strings.HasPrefix(key, eventAnnotations) {
			metadata[key] = value
		}
	}
	own := maps.Clone(s.revisions())
	maps.Copy(own, extra)
	for key, value := range own {
		if value != "" {
			metadata[r.Kind.group+"/"+key] = value
		}
	}
	return metadata
}

// Reannounce sends the current state of every subject again; repeating is harmless.
func (r *Reconciler) Reannounce(ctx context.Context) {
	list := r.Kind.newList()
	if err := r.Client.List(ctx, list); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "states could not be announced again", "kind", r.Kind.name)
		return
	}
	for _, o := range r.Kind.items(list) {
		if r.selects(o) {
			r.announceReady(r.Kind.wrap(o), "")
		}
	}
}
