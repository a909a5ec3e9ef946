package controller

import (
	"context"
	"maps"
	"os"
	"strings"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/event"
)

// commitStatus marks an event that is only there to update the status of a commit.
const (
	commitStatusKey   = "commit_status"
	commitStatusValue = "update"
	eventAnnotations  = "event.toolkit.fluxcd.io/"
)

// tell writes a core/v1 Event and the same to the bus.
func (p *pass) tell(eventType, reason, message string, at time.Time) {
	metadata := p.metadata(nil)
	p.Recorder.AnnotatedEventf(p.subject.object(), metadata, eventType, reason, "%s", event.Shorten(message, 1000))
	severity := eventv1.EventSeverityInfo
	if eventType == corev1.EventTypeWarning {
		severity = eventv1.EventSeverityError
	}
	p.announce(p.subject, at, severity, reason, message, metadata)
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
	severity := eventv1.EventSeverityError
	extra := map[string]string{}
	if ready.Status == metav1.ConditionTrue {
		severity = eventv1.EventSeverityInfo
	}
	if severity == eventv1.EventSeverityInfo && r.Kind.listsChanges {
		extra[commitStatusKey] = commitStatusValue
	}
	r.announce(s, ready.LastTransitionTime.Time, severity, ready.Reason, ready.Message, r.metadataOf(s, extra))
	return id
}

func (r *Reconciler) announce(s subject, at time.Time, severity, reason, message string, metadata map[string]string) {
	o := s.object()
	host, _ := os.Hostname()
	id := event.ID(o.GetUID(), at, reason, s.version())
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
		r.announceReady(r.Kind.wrap(o), "")
	}
}
