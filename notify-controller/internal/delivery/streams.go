// Package delivery is what travels on the way from an event to a target: a [Record] is one event for one Provider because of
// one Alert, and waits in [Stream] for the consumer of that Provider.
package delivery

import (
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

const (
	subject = "sluice.deliveries."
	// Kept is how long what waits to be sent is kept; it is well above plan.MaxAge.
	Kept = 7 * 24 * time.Hour
)

// Stream is the work queue of notifications to be sent.
func Stream() bus.Stream {
	return bus.Stream{
		Name:      "SLUICE_DELIVERIES",
		Subjects:  []string{subject + ">"},
		MaxAge:    Kept,
		MaxBytes:  256 << 20,
		Window:    30 * time.Minute,
		WorkQueue: true,
	}
}

// Queue is the consumer of one Provider. A UID has only letters, digits and '-', which a subject and a name may hold.
func Queue(provider route.Ref, parallel int) bus.Consumer {
	return bus.Consumer{
		Stream:   Stream(),
		Name:     "deliver-" + string(provider.UID),
		Filter:   Subject(provider),
		Parallel: parallel,
	}
}

// Subject is what is published for a Provider.
func Subject(provider route.Ref) string { return subject + string(provider.UID) }
