package controller_test

import (
	"context"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/notify-controller/internal/controller"
)

// TestStandalone: without NATS the bus works, is always connected, and keeps no event that was handled.
func TestStandalone(t *testing.T) {
	mgr, err := ctrl.NewManager(shared.env.Config, ctrl.Options{Metrics: server.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := controller.Bus(mgr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if !b.Connected() {
		t.Error("not connected")
	}
	for _, reader := range []string{"first", "second"} {
		ctx, cancel := context.WithCancel(t.Context())
		m := bus.Message{Subject: "sluice.events." + reader, ID: reader, Data: []byte(reader)}
		if err := b.Publish(ctx, bus.Events(), m); err != nil {
			t.Fatal(err)
		}
		_ = b.Consume(ctx, bus.Consumer{Stream: bus.Events(), Name: reader, Parallel: 1}, func(_ context.Context, d bus.Delivery) bus.Verdict {
			if d.ID != reader {
				t.Errorf("%s got %s", reader, d.ID)
			}
			cancel()
			return bus.Done()
		})
		cancel()
	}
}
