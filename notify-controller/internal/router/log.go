package router

import (
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
)

// logRouted says where an event goes: at debug, for each delivery has a line of its own, unless it could not be routed before.
func (r *Router) logRouted(id string, ev event.Event, attempt, selected int) {
	log := delivery.EventLog(r.log, id, ev)
	text := fmt.Sprintf("routed %s to %d Alerts", delivery.Headline(ev), selected)
	if selected == 1 {
		text = "routed " + delivery.Headline(ev) + " to 1 Alert"
	}
	if attempt > 1 {
		log.Info(fmt.Sprintf("recovered: %s at attempt %d", text, attempt), logkey.Attempt, attempt)
		return
	}
	log.V(logkey.Debug).Info(text)
}

// logWaiting says why an event cannot be routed, once. What this controller may not read is for whoever operates it to grant.
func (r *Router) logWaiting(id string, ev event.Event, attempt int, after time.Duration, err error) {
	log := delivery.EventLog(r.log, id, ev).WithValues(logkey.Attempt, attempt, logkey.After, after.String())
	text, problem := "failed to route "+delivery.Headline(ev), redact.Error(err)
	switch {
	case attempt > 1:
		log.V(logkey.Debug).Info(text+": "+problem, logkey.Problem, problem)
	case apierrors.IsForbidden(err):
		log.Error(errors.New(problem), text)
	default:
		log.Info(text+", tried again in "+after.String()+": "+problem, logkey.Problem, problem)
	}
}
