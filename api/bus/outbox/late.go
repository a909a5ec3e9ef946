package outbox

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Recorder writes core/v1 Events, as client-go's does.
type Recorder interface {
	Eventf(object runtime.Object, eventType, reason, message string, args ...any)
}

// WarnLate returns what [Options.OnLate] is in a controller: a Warning on its own Deployment in the namespace it runs in.
func WarnLate(recorder Recorder, namespace, controller string) func(pending int, oldest time.Duration) {
	deployment := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: controller},
	}
	return func(pending int, oldest time.Duration) {
		recorder.Eventf(deployment, corev1.EventTypeWarning, "NotificationsLate",
			"%d events have waited for NATS for up to %s; none is lost while this controller runs, and reconciling goes on: "+
				"check the Pod nats-0, and --nats-url and --nats-creds of this controller", pending, oldest.Truncate(time.Second))
	}
}
