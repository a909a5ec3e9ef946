package cluster

import (
	"sync"
	"testing"
)

// TestPortsAreReserved: whoever asks at the same time gets a port of his own.
func TestPortsAreReserved(t *testing.T) {
	const callers, each = 8, 20
	var mu sync.Mutex
	var running sync.WaitGroup
	seen := map[int]bool{}
	for range callers {
		running.Go(func() {
			ports, err := freePorts(each)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, port := range ports {
				if seen[port] || port < firstPort || port >= firstPort+manyPorts {
					t.Errorf("port %d, again or out of range", port)
				}
				seen[port] = true
			}
		})
	}
	running.Wait()
}
