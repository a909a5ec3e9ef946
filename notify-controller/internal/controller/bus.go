package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/sluice-gitops/sluice/api/bus"
)

// OpenBus connects to NATS and adds the probes. The process is alive whatever becomes of NATS, and ready while it is
// connected. Without a URL it returns a bus in memory, for the events that are posted.
func OpenBus(ctx context.Context, mgr ctrl.Manager, o bus.Options) (bus.Bus, error) {
	log := mgr.GetLogger().WithName("bus")
	messages := alone(bus.Memory())
	if o.URL == "" {
		log.Info("notifications from the bus are off: --nats-url is not set; posted events are delivered while this process lives")
	} else {
		var err error
		o.Log = log
		if messages, err = bus.Connect(ctx, o); err != nil {
			return nil, fmt.Errorf("open the message bus: %w", err)
		}
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add health probe: %w", err)
	}
	if err := mgr.AddReadyzCheck("bus", connected(messages)); err != nil {
		return nil, fmt.Errorf("add ready probe: %w", err)
	}
	return messages, nil
}

func connected(b bus.Bus) healthz.Checker {
	return func(*http.Request) error {
		if !b.Connected() {
			return errors.New("NATS cannot be reached")
		}
		return nil
	}
}
