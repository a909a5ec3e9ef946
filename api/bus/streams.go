package bus

import (
	"time"

	"github.com/sluice-gitops/sluice/api/event"
)

// Events is the stream every controller publishes to. It keeps a week: what was handled stays for the audit trail.
func Events() Stream {
	return Stream{
		Name:     event.Stream,
		Subjects: []string{event.SubjectPrefix + ".>"},
		MaxAge:   7 * 24 * time.Hour,
		MaxBytes: 512 << 20,
		Window:   30 * time.Minute,
	}
}
