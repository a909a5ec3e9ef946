package deliver

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
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

// Morgue keeps dead letters. A letter is stored durably before anybody hears of it.
type Morgue struct {
	Bus     bus.Bus
	Reports Reporter
	Metrics *Metrics
}

// bury keeps a delivery that is given up.
func (m *Morgue) bury(ctx context.Context, record Record, reason string) error {
	data, err := record.encode()
	if err != nil {
		return err
	}
	subject := string(record.Provider.UID)
	if subject == "" {
		subject = "no-provider"
	}
	reason = headerValue(reason)
	err = m.Bus.Publish(ctx, DeadLetters(), bus.Message{
		Subject: deadLetterSubject + subject,
		ID:      record.ID,
		Header: map[string]string{
			headerReason: reason, headerAlert: record.Alert.String(), headerProvider: record.Provider.String(),
		},
		Data: data,
	})
	if err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	m.Metrics.dead(record.Provider.String())
	m.Reports.Undelivered(record.Alert, record.Provider.String(), reason)
	return nil
}

// buryEvent keeps a message that nobody can read or route, as it came, or as much of it as fits.
func (m *Morgue) buryEvent(ctx context.Context, d bus.Delivery, reason string) error {
	letter := bus.Message{
		Subject: deadLetterSubject + refused,
		ID:      hash(d.Subject, d.ID, string(d.Data)),
		Header:  map[string]string{headerReason: headerValue(reason), headerSubject: d.Subject},
		Data:    d.Data,
	}
	if size := len(d.Data); size > maxRecord {
		letter.Header[headerTruncated] = strconv.Itoa(size)
		letter.Data = d.Data[:maxRecord]
	}
	err := m.Bus.Publish(ctx, DeadLetters(), letter)
	if err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	m.Metrics.dead(refused)
	return nil
}

// headerValue makes a text fit into one line of a header.
func headerValue(text string) string {
	return event.Shorten(strings.Join(strings.Fields(text), " "), 600)
}
