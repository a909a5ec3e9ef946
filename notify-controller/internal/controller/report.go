package controller

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/record"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

// Reasons of the Events on Alerts, Providers and this controller; the first three are Flux's.
const (
	reasonDispatchFailed = "NotificationDispatchFailed"
	reasonInvalidConfig  = "InvalidConfig"
	reasonSourceFailed   = "SourceFetchFailed"
	reasonMetadata       = "MetadataAppendFailed"
	reasonAccessDenied   = "AccessDenied"
	reasonOutage         = "NATSUnreachable"
)

// maxEvent is the API server's limit for a core/v1 Event's message, in bytes.
const maxEvent = 1024

// Reports writes core/v1 Events. It implements [deadletter.Reporter], and is safe for concurrent use.
type Reports struct{ Recorder record.EventRecorder }

// Undelivered implements [deadletter.Reporter].
func (r Reports) Undelivered(alert route.Ref, provider, reason string) {
	r.warn(alertKind(), alert, reasonDispatchFailed, "a notification for Provider "+provider+" could not be delivered: "+reason)
}

// Conflicting implements [deadletter.Reporter].
func (r Reports) Conflicting(alert route.Ref, keys []string) {
	r.warn(alertKind(), alert, reasonMetadata, "metadata keys set more than once: "+strings.Join(keys, ", ")+
		"; what the controller said wins, then spec.summary, then spec.eventMetadata")
}

// Unknown implements [deadletter.Reporter].
func (r Reports) Unknown(alert route.Ref, object, reason string) {
	r.warn(alertKind(), alert, reasonSourceFailed, "matchLabels cannot be decided, the labels of "+object+" cannot be read: "+reason)
}

func (r Reports) warn(kind schema.GroupVersionKind, ref route.Ref, reason, message string) {
	object := &corev1.ObjectReference{
		APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Namespace: ref.Namespace, Name: ref.Name, UID: ref.UID,
	}
	r.Recorder.Event(object, corev1.EventTypeWarning, reason, event.Shorten(message, maxEvent))
}
