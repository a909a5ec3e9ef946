package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

// MaxBytes of a record keep it below the bus' limit of 64 KiB, headers included.
const MaxBytes = 60 << 10

// ErrTooLarge says that an event cannot be made to fit.
var ErrTooLarge = errors.New("too large for a delivery")

// Record is one delivery: an event for one Provider, because of one Alert.
type Record struct {
	// ID is the same however often the event is routed.
	ID string `json:"id"`
	// Stored is when the event was stored in its stream; it orders the events of an object.
	Stored   time.Time `json:"stored"`
	Alert    route.Ref `json:"alert"`
	Provider route.Ref `json:"provider"`
	// EventID is the event's, and Type the Provider's, as they were when it was routed; older records have neither.
	EventID string `json:"eventID,omitempty"`
	Type    string `json:"type,omitempty"`
	// Event is the notification, metadata merged.
	Event event.Event `json:"event"`
}

// ID of a delivery, the same however often the event is routed.
func ID(eventID string, alert, provider route.Ref) string {
	return Hash(eventID, string(alert.UID), string(provider.UID))
}

// Hash is a key for stores and messages; its parts cannot run into each other.
func Hash(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%d:%s;", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Encode gives up metadata, and says so in the message, rather than exceed what a message may have.
func (r Record) Encode() ([]byte, error) {
	data, err := json.Marshal(r)
	if err == nil && len(data) > MaxBytes {
		r.Event.Metadata = nil
		r.Event.Message = event.Shorten(r.Event.Message, event.MaxMessage/2) + "\n(metadata left out: too large)"
		data, err = json.Marshal(r)
	}
	if err == nil && len(data) > MaxBytes {
		err = ErrTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("encode delivery: %w", err)
	}
	return data, nil
}

// Decode reads what Encode wrote.
func Decode(data []byte) (Record, error) {
	var record Record
	if err := json.Unmarshal(data, &record); err != nil {
		return record, errors.New("read delivery: not the JSON of one")
	}
	if record.ID == "" || record.Provider.UID == "" || record.Event.InvolvedObject.Name == "" {
		return record, errors.New("read delivery: id, provider and involved object are required")
	}
	return record, nil
}

// ObjectKey is a key for what is about one object.
func ObjectKey(ev event.Event) string {
	object := ev.InvolvedObject
	return Hash(object.Kind, object.Namespace, object.Name, string(object.UID))
}
