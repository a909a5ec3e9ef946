package controller

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

const (
	// outageAfter is how long NATS may be away before users hear of it.
	outageAfter = time.Minute
	// outageCheck is how often that is looked at.
	outageCheck = 10 * time.Second
)

// outage says by a Warning on this controller's Deployment and in the log, once each time, that NATS has been away for a minute: nothing
// is lost then, but nothing is delivered either.
type outage struct {
	connected func() bool
	namespace string
	reports   Reports
	clock     clock.WithTicker
	log       logr.Logger
}

// Start watches until ctx ends. It implements manager.Runnable.
func (o *outage) Start(ctx context.Context) error {
	ticker := o.clock.NewTicker(outageCheck)
	defer ticker.Stop()
	var since time.Time
	for reported := false; ; {
		switch now := o.clock.Now(); {
		case o.connected():
			if reported {
				o.log.Info("recovered: NATS can be reached again", logkey.Duration, now.Sub(since).Round(time.Second).String())
			}
			since, reported = time.Time{}, false
		case since.IsZero():
			since = now
		case !reported && now.Sub(since) >= outageAfter:
			reported = true
			o.report(since)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

func (o *outage) report(since time.Time) {
	what := "NATS cannot be reached since " + since.UTC().Format(time.RFC3339)
	const advice = "notifications wait and none is lost: check the Pod nats-0, and --nats-url and --nats-creds of this controller"
	o.log.Error(errors.New(what), advice)
	o.reports.warn(deploymentKind(), route.Ref{Namespace: o.namespace, Name: Name}, reasonOutage, what+"; "+advice)
}
