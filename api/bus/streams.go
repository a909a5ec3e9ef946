package bus

import (
	"time"

	"github.com/sluice-gitops/sluice/api/event"
)

// Events is the stream every controller publishes to. It keeps three days: what was handled stays for the audit trail, and
// an event has about a kilobyte, so that a thousand applications may move 350 revisions a day before publishing waits.
func Events() Stream {
	return Stream{
		Name:     event.Stream,
		Subjects: []string{event.SubjectPrefix + ".>"},
		MaxAge:   3 * 24 * time.Hour,
		MaxBytes: 1 << 30,
		Window:   30 * time.Minute,
	}
}
