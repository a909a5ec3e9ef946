package bus

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
)

// recorded is the last Event, as text.
type recorded string

func (r *recorded) Eventf(object runtime.Object, eventType, reason, message string, args ...any) {
	about, err := meta.Accessor(object)
	if err != nil {
		panic(err)
	}
	kind := object.GetObjectKind().GroupVersionKind()
	*r = recorded(fmt.Sprintf("%s %s/%s %s %s: ", kind, about.GetNamespace(), about.GetName(), eventType, reason) + fmt.Sprintf(message, args...))
}

func TestLate(t *testing.T) {
	var got recorded
	Late(&got, "flux-system", "sync-controller")(3, 61*time.Second+time.Millisecond)
	want := recorded("apps/v1, Kind=Deployment flux-system/sync-controller Warning NotificationsLate: 3 events have waited for NATS for up to 1m1s; " +
		"none is lost while this controller runs, and reconciling goes on: check the Pod nats-0, and --nats-url and --nats-creds of this controller")
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
