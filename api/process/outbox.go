package process

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/jetstream"
	"github.com/sluice-gitops/sluice/api/bus/outbox"
)

// Connect returns the way to NATS, and a function that closes it once the manager has ended. It does not wait for NATS. The bus
// is nil without --nats-url: notifications are off.
func (s *Settings) Connect(ctx context.Context, mgr manager.Manager) (bus.Bus, func(), error) {
	if s.NATSURL == "" {
		return nil, func() {}, nil
	}
	options := s.Bus()
	options.Log = mgr.GetLogger().WithName("bus")
	messages, err := jetstream.Connect(ctx, options)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return messages, messages.Close, nil
}

// Outbox adds an outbox of a bus, which may be nil, to the manager, with its metrics. It calls reannounce for the state of
// every object, at first when the manager runs; see [outbox.Options.Reannounce].
func (s *Settings) Outbox(mgr manager.Manager, messages bus.Bus, reannounce func()) (*outbox.Outbox, error) {
	out := outbox.New(messages, outbox.Options{
		Log: mgr.GetLogger().WithName("outbox"), Reannounce: reannounce,
		OnLate: outbox.WarnLate(mgr.GetEventRecorderFor(s.Name), s.Namespace, s.Name), //nolint:staticcheck // core/v1 Events are what kubectl describe shows
	})
	if messages != nil {
		for _, collector := range out.Collectors() {
			if err := metrics.Registry.Register(collector); err != nil {
				return nil, fmt.Errorf("register metrics of the outbox: %w", err)
			}
		}
	}
	if err := mgr.Add(out); err != nil {
		return nil, fmt.Errorf("add outbox: %w", err)
	}
	return out, nil
}
