package outbox

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
)

// recorded keeps the last Event, as text.
type recorded struct {
	t    *testing.T
	last string
}

func (r *recorded) Eventf(object runtime.Object, eventType, reason, message string, args ...any) {
	about, err := meta.Accessor(object)
	if err != nil {
		r.t.Error(err)
		return
	}
	kind := object.GetObjectKind().GroupVersionKind()
	r.last = fmt.Sprintf("%s %s/%s %s %s: ", kind, about.GetNamespace(), about.GetName(), eventType, reason) + fmt.Sprintf(message, args...)
}

func TestWarnLate(t *testing.T) {
	got := &recorded{t: t}
	WarnLate(got, "flux-system", "sync-controller")(3, 61*time.Second+time.Millisecond)
	want := "apps/v1, Kind=Deployment flux-system/sync-controller Warning NotificationsLate: 3 events have waited for NATS for up to 1m1s; " +
		"none is lost while this controller runs, and reconciling goes on: check the Pod nats-0, and --nats-url and --nats-creds of this controller"
	if got.last != want {
		t.Errorf("got  %s\nwant %s", got.last, want)
	}
}
