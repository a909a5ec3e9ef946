// Package deadletter keeps what could not be delivered, and what cannot be read, so that nothing is lost unseen.
package deadletter

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/measure"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

// Headers of a dead letter.
const (
	headerReason   = "Sluice-Reason"
	headerAlert    = "Sluice-Alert"
	headerProvider = "Sluice-Provider"
	// headerSubject is where a message came from that could not be read or routed.
	headerSubject = "Sluice-Subject"
	// headerTruncated is how many bytes a message had that did not fit beside its headers; only its beginning is kept.
	headerTruncated = "Sluice-Truncated"
)

// subject is what dead letters are published on; the last token is the UID of the Provider.
const subject = "sluice.deadletters."

// maxSubject is how much of a subject is logged.
const maxSubject = 300

// refused is the last token of the subject of dead letters that belong to no Provider.
const refused = "refused"

// Reporter tells users what was not delivered. It must not block.
type Reporter interface {
	// Undelivered reports a dead letter on its Alert. Provider is namespace/name, reason is free of secrets.
	Undelivered(alert route.Ref, provider, reason string)
	// Conflicting reports metadata keys that more than one side set.
	Conflicting(alert route.Ref, keys []string)
	// Unknown reports that an object's labels cannot be read, so that matchLabels cannot be decided.
	Unknown(alert route.Ref, object, reason string)
}

// Stream keeps what could not be delivered, with the reason in the header Sluice-Reason.
func Stream() bus.Stream {
	return bus.Stream{
		Name:     "SLUICE_DEAD_LETTERS",
		Subjects: []string{subject + ">"},
		MaxAge:   2 * delivery.Kept,
		MaxBytes: 128 << 20,
		Window:   30 * time.Minute,
	}
}

// Letters are the dead letters on a bus. A letter is stored durably before anybody hears of it.
type Letters struct {
	Bus     bus.Bus
	Reports Reporter
	Metrics *measure.Metrics
	// Log gets a line for each; the zero value discards.
	Log logr.Logger
}

// Keep keeps a delivery that is given up.
func (l *Letters) Keep(ctx context.Context, record delivery.Record, reason string) error {
	data, err := record.Encode()
	if err != nil {
		return err
	}
	uid := string(record.Provider.UID)
	if uid == "" {
		uid = "no-provider"
	}
	reason = headerValue(reason)
	err = l.Bus.Publish(ctx, Stream(), bus.Message{
		Subject: subject + uid,
		ID:      record.ID,
		Header: map[string]string{
			headerReason: reason, headerAlert: record.Alert.String(), headerProvider: record.Provider.String(),
		},
		Data: data,
	})
	if err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	l.Metrics.Delivery(record.Type, measure.GivenUp)
	record.Log(l.Log).Info(fmt.Sprintf("gave up delivery to %s: %s: %s; kept as a dead letter", record.Target(), reason, delivery.Headline(record.Event)),
		logkey.Problem, reason)
	l.Reports.Undelivered(record.Alert, record.Provider.String(), reason)
	return nil
}

// KeepMessage keeps a message that nobody can read or route, as it came, or as much of it as fits.
func (l *Letters) KeepMessage(ctx context.Context, d bus.Delivery, reason string) error {
	letter := bus.Message{
		Subject: subject + refused,
		ID:      delivery.Hash(d.Subject, d.ID, string(d.Data)),
		Header:  map[string]string{headerReason: headerValue(reason), headerSubject: d.Subject},
		Data:    d.Data,
	}
	if size := len(d.Data); size > delivery.MaxBytes {
		letter.Header[headerTruncated] = strconv.Itoa(size)
		letter.Data = d.Data[:delivery.MaxBytes]
	}
	err := l.Bus.Publish(ctx, Stream(), letter)
	if err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	l.Metrics.Delivery("", measure.GivenUp)
	l.Log.Info(fmt.Sprintf("gave up a message on %s: %s; kept as a dead letter", event.Shorten(d.Subject, maxSubject), letter.Header[headerReason]),
		logkey.Problem, letter.Header[headerReason])
	return nil
}

// headerValue makes a text fit into one line of a header.
func headerValue(text string) string {
	return event.Shorten(strings.Join(strings.Fields(text), " "), 600)
}
