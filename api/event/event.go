// Package event holds what controllers say to notify-controller and to every other consumer: Flux's event JSON in a
// CloudEvents 1.0 envelope (binary mode, NATS protocol binding), the subject it travels on, and the id that makes
// repeating it harmless. Read [Wrap] and [Unwrap], then [ID], then [Subject]. Every function is pure, and safe for
// concurrent use.
//
// Nothing but references, ids and short messages goes into an event: no spec, manifest, diff or secret value.
package event

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"k8s.io/apimachinery/pkg/types"
)

// Event is Flux's event, the data of every envelope.
type Event = eventv1.Event

// MaxMessage is the longest message an event carries, in bytes; a longer one is cut at a rune and ended with "…".
const MaxMessage = 2048

// MaxData is the largest encoded event that is published or read, in bytes.
const MaxData = 48 << 10

// CloudEvents attributes as the NATS protocol binding spells them in message headers.
const (
	HeaderSpecVersion = "ce-specversion"
	HeaderID          = "ce-id"
	HeaderSource      = "ce-source"
	HeaderType        = "ce-type"
	HeaderTime        = "ce-time"
	HeaderSubject     = "ce-subject"
	HeaderContentType = "content-type"
)

// The constant values of the envelope's attributes. The type ends with the event's reason.
const (
	SpecVersion = "1.0"
	TypePrefix  = "dev.sluice.event."
	ContentType = "application/json"
)

// Envelope is one event on its way: what is stored in the stream.
type Envelope struct {
	// Subject the event is published on (see [Subject]).
	Subject string
	// ID is the event's identity: the same transition announced twice has the same ID (see [ID]).
	ID string
	// Header holds the CloudEvents attributes.
	Header map[string]string
	// Data is Flux's event JSON.
	Data []byte
}

// ID identifies one transition of one object: the same for every repetition of it, whoever announces it. Transition is
// the condition's lastTransitionTime, which counts in whole seconds; revision is what the condition is about, and may be
// empty. It is 32 hex digits.
func ID(uid types.UID, transition time.Time, reason, revision string) string {
	sum := sha256.New()
	for _, part := range []string{string(uid), transition.UTC().Format(time.RFC3339), reason, revision} {
		fmt.Fprintf(sum, "%d:%s;", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Wrap puts an event into its envelope. The event's message is cut to [MaxMessage]; an event that is still larger than
// [MaxData], or that lacks a kind, name, reason or reporting controller, is refused; so is an empty id. The event given
// is not changed.
func Wrap(id string, ev Event) (Envelope, error) {
	obj := ev.InvolvedObject
	if id == "" || obj.Kind == "" || obj.Name == "" || ev.Reason == "" || ev.ReportingController == "" {
		return Envelope{}, errors.New("wrap event: id, kind, name, reason and reporting controller are all required")
	}
	ev.Message = Shorten(ev.Message, MaxMessage)
	data, err := json.Marshal(ev)
	if err != nil {
		return Envelope{}, fmt.Errorf("wrap event: %w", err)
	}
	if len(data) > MaxData {
		return Envelope{}, fmt.Errorf("wrap event: %d bytes are more than the %d that an event may have", len(data), MaxData)
	}
	return Envelope{
		Subject: Subject(ev.ReportingController, obj.Kind, obj.Namespace, obj.Name, ev.Reason),
		ID:      id,
		Header: map[string]string{
			HeaderSpecVersion: SpecVersion,
			HeaderID:          id,
			HeaderSource:      "/" + ev.ReportingController,
			HeaderType:        TypePrefix + ev.Reason,
			HeaderTime:        ev.Timestamp.UTC().Format(time.RFC3339),
			HeaderSubject:     obj.Kind + "/" + obj.Namespace + "/" + obj.Name,
			HeaderContentType: ContentType,
		},
		Data: data,
	}, nil
}

// Unwrap reads the event out of an envelope and checks what a consumer relies on: the CloudEvents version, the size, and
// that the involved object has a kind and a name and the event a reason. Its error is final: the same envelope is refused
// again.
func Unwrap(env Envelope) (Event, error) {
	var ev Event
	if len(env.Data) > MaxData {
		return ev, fmt.Errorf("read event: %d bytes are more than the %d that an event may have", len(env.Data), MaxData)
	}
	if v := env.Header[HeaderSpecVersion]; v != SpecVersion {
		return ev, fmt.Errorf("read event: CloudEvents version %q, want %q", v, SpecVersion)
	}
	if err := json.Unmarshal(env.Data, &ev); err != nil {
		return ev, fmt.Errorf("read event: %w", err)
	}
	if ev.InvolvedObject.Kind == "" || ev.InvolvedObject.Name == "" || ev.Reason == "" {
		return ev, errors.New("read event: kind, name and reason of the involved object are required")
	}
	return ev, nil
}

// Shorten cuts s to at most limit bytes, which must be three or more, at a rune, and ends what it cut with "…".
func Shorten(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	cut := max(limit-len(mark), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimRight(s[:cut], " \n") + mark
}
