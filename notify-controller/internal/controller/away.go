package controller

import (
	"context"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

const (
	// awayAfter is how long NATS may be away before users hear of it.
	awayAfter = time.Minute
	// awayCheck is how often that is looked at.
	awayCheck = 10 * time.Second
)

// away says by a Warning on this controller's Deployment, once per outage, that NATS has been away for a minute: nothing
// is lost then, but nothing is delivered either.
type away struct {
	connected func() bool
	namespace string
	reports   Reports
	clock     clock.WithTicker
}

// Start watches until ctx ends. It implements manager.Runnable.
func (a *away) Start(ctx context.Context) error {
	ticker := a.clock.NewTicker(awayCheck)
	defer ticker.Stop()
	var since time.Time
	for told := false; ; {
		switch now := a.clock.Now(); {
		case a.connected():
			since, told = time.Time{}, false
		case since.IsZero():
			since = now
		case !told && now.Sub(since) >= awayAfter:
			told = true
			a.tell(since)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

func (a *away) tell(since time.Time) {
	a.reports.warn(deploymentKind(), route.Ref{Namespace: a.namespace, Name: Name}, reasonBusAway,
		"NATS cannot be reached since "+since.UTC().Format(time.RFC3339)+
			"; notifications wait and none is lost: check the Pod nats-0, and --nats-url and --nats-creds of this controller")
}
