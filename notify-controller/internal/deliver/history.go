package deliver

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
)

// remembered is how many events of an object its history names.
const remembered = 16

// noteAttempts is how often noting is tried when others note events of the same object.
const noteAttempts = routeParallel

// history knows the last events of every object. Controllers announce the current state of all their objects again at
// each start: what was routed before must neither be sent again, however long ago that was, nor reach an Alert that was
// created since.
type history struct{ routed table[[]string] }

func newHistory(b bus.Bus) *history {
	return &history{table[[]string]{bus: b, name: "sluice-seen", ttl: historyTTL}}
}

// seen reports whether the event was routed before.
func (h *history) seen(ctx context.Context, id string, ev event.Event) (bool, error) {
	ids, _, err := h.routed.get(ctx, objectKey(ev))
	return slices.Contains(ids, id), err
}

// note says that the event was routed. Events of one object may be noted at once.
func (h *history) note(ctx context.Context, id string, ev event.Event) error {
	key := objectKey(ev)
	var err error
	for range noteAttempts {
		ids, revision, readErr := h.routed.get(ctx, key)
		if readErr != nil {
			return readErr
		}
		ids = append(slices.DeleteFunc(ids, func(other string) bool { return other == id }), id)
		_, err = h.routed.put(ctx, key, ids[max(len(ids)-remembered, 0):], revision)
		if !errors.Is(err, bus.ErrExists) {
			break
		}
	}
	return err
}

func objectKey(ev event.Event) string {
	object := ev.InvolvedObject
	return hash(object.Kind, object.Namespace, object.Name, string(object.UID))
}
