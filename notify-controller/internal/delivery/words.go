package delivery

import (
	"strings"

	"github.com/go-logr/logr"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/logkey"
)

// maxWords bounds how much of an event is in a line of the log: who posts one can call an object anything.
const maxWords = 300

// Target is where a delivery goes, such as "slack apps/chat".
func (r Record) Target() string { return strings.TrimSpace(r.Type + " " + r.Provider.String()) }

// About is what an event is about, such as "Kustomization/apps/web".
func About(ev event.Event) string {
	object := ev.InvolvedObject
	return event.Shorten(object.Kind+"/"+object.Namespace+"/"+object.Name, maxWords)
}

// Headline is what an event is about, and what happened to that, such as "Kustomization/apps/web HealthCheckFailed". Nothing else
// of an event is logged: its message may hold what only its readers may see.
func Headline(ev event.Event) string { return About(ev) + " " + event.Shorten(ev.Reason, maxWords) }

// Log is a logger for lines about a delivery.
func (r Record) Log(log logr.Logger) logr.Logger {
	log = logkey.Of(log, "Provider", r.Provider.Namespace, r.Provider.Name)
	return EventLog(log, r.EventID, r.Event).WithValues(
		logkey.Provider, r.Provider.String(), logkey.Alert, r.Alert.String(), logkey.Delivery, r.ID)
}

// EventLog is a logger for lines about an event.
func EventLog(log logr.Logger, id string, ev event.Event) logr.Logger {
	return log.WithValues(logkey.Event, id, logkey.Subject, About(ev), logkey.Reason, event.Shorten(ev.Reason, maxWords))
}
