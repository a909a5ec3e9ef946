package jetstream

import (
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

// SetAckWait changes after how long a bus over NATS, used by nobody yet, has deliveries again that nothing is heard of.
func SetAckWait(b bus.Bus, d time.Duration) { b.(*jetStream).ackWait = d }
