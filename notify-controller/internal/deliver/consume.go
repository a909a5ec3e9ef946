package deliver

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
)

// restartWait is the pause after a consumer ended although it should not.
const restartWait = 15 * time.Second

// consume keeps a consumer running until ctx ends, which is no error.
func consume(ctx context.Context, b bus.Bus, c bus.Consumer, handle bus.Handler, clk clock.Clock, log logr.Logger) error {
	for ctx.Err() == nil {
		err := b.Consume(ctx, c, handle)
		if ctx.Err() != nil {
			break
		}
		log.Error(err, "consumer ended; it is started again", "consumer", c.Name, "after", restartWait.String())
		select {
		case <-ctx.Done():
		case <-clk.After(restartWait):
		}
	}
	return nil
}
