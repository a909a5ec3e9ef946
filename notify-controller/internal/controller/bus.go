package controller

import (
	"errors"
	"fmt"
	"net/http"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/memory"
)

// Bus returns the bus to work with, and adds the probe that says whether it can be: the process is ready while it is
// connected. Without NATS, when messages is nil, it is one in memory, for the events that are posted.
func Bus(mgr ctrl.Manager, messages bus.Bus) (bus.Bus, error) {
	if messages == nil {
		mgr.GetLogger().Info("notifications from the bus are off: --nats-url is not set; posted events are delivered while this process lives")
		messages = standalone(memory.New())
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
