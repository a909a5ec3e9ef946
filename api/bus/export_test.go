package bus

import "time"

// SetAckWait changes after how long a bus over NATS, used by nobody yet, has deliveries again that nothing is heard of.
func SetAckWait(b Bus, d time.Duration) { b.(*jetStream).ackWait = d }
