package ledger

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
)

// remembered is how many events of an object its history names.
const remembered = 16

// noteAttempts is how often noting is tried when others note events of the same object.
const noteAttempts = 8

// History knows the last events of every object. Controllers announce the current state of all their objects again at
// each start: what was routed before must neither be sent again, however long ago that was, nor reach an Alert that was
// created since.
type History struct{ table *Table[[]string] }

// NewHistory returns the history on a bus.
func NewHistory(b bus.Bus) *History {
	return &History{NewTable[[]string](b, "sluice-seen", historyTTL)}
}

// routed names an event that was routed: its id, when it was stored, and whether its object fails. Written it is
// "id@nanoseconds", with a "!" before a failure.
type routed struct {
	id     string
	stored int64
	failed bool
}

func (e routed) String() string {
	text := e.id + "@" + strconv.FormatInt(e.stored, 10)
	if e.failed {
		return "!" + text
	}
	return text
}

func readRouted(text string) routed {
	rest, failed := strings.CutPrefix(text, "!")
	id, at, _ := strings.Cut(rest, "@")
	stored, _ := strconv.ParseInt(at, 10, 64) // 0 is long ago
	return routed{id: id, stored: stored, failed: failed}
}

// Look reports whether the event was routed before, and whether what was routed last about its object, of what was stored
// before it, is a failure.
func (h *History) Look(ctx context.Context, id string, ev event.Event, stored time.Time) (seen, failing bool, err error) {
	texts, _, err := h.table.Get(ctx, delivery.ObjectKey(ev))
	last := routed{stored: -1}
	for _, text := range texts {
		e := readRouted(text)
		seen = seen || e.id == id
		if e.stored < stored.UnixNano() && e.stored >= last.stored {
			last = e
		}
	}
	return seen, last.failed, err
}

// Note says that the event was routed, and whether its object is known to fail then. Events of one object may be noted at once.
func (h *History) Note(ctx context.Context, id string, ev event.Event, stored time.Time, failed bool) error {
	key := delivery.ObjectKey(ev)
	text := routed{id: id, stored: stored.UnixNano(), failed: failed}.String()
	var err error
	for range noteAttempts {
		texts, revision, readErr := h.table.Get(ctx, key)
		if readErr != nil {
			return readErr
		}
		texts = append(slices.DeleteFunc(texts, func(other string) bool { return readRouted(other).id == id }), text)
		_, err = h.table.Put(ctx, key, texts[max(len(texts)-remembered, 0):], revision)
		if !errors.Is(err, bus.ErrExists) {
			break
		}
	}
	return err
}
