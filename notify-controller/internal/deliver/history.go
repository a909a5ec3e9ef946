package deliver

import (
	"context"
	"slices"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
)

// remembered is how many events of an object its history names.
const remembered = 16

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

// note says that the event was routed. Of two that are noted at once for an object, one wraps bus.ErrExists: it is routed
// again, which does no harm.
func (h *history) note(ctx context.Context, id string, ev event.Event) error {
	ids, revision, err := h.routed.get(ctx, objectKey(ev))
	if err != nil {
		return err
	}
	ids = append(slices.DeleteFunc(ids, func(other string) bool { return other == id }), id)
	_, err = h.routed.put(ctx, objectKey(ev), ids[max(len(ids)-remembered, 0):], revision)
	return err
}

func objectKey(ev event.Event) string {
	object := ev.InvolvedObject
	return hash(object.Kind, object.Namespace, object.Name, string(object.UID))
}
