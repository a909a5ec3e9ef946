package consume

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// TestLocks: who asks first is first, of one key; another key is nobody else's, and in the end nothing is held.
func TestLocks(t *testing.T) {
	const asking = 20
	var all Locks
	first := all.Lock("a")
	all.Lock("b")()
	var order []int
	var running sync.WaitGroup
	for i := range asking {
		before := all.lastOf("a")
		running.Go(func() {
			defer all.Lock("a")()
			order = append(order, i)
		})
		for deadline := time.Now().Add(90 * time.Second); all.lastOf("a") == before; { // until it has asked
			if time.Now().After(deadline) {
				t.Fatal("it does not wait for its turn")
			}
			<-time.After(time.Millisecond)
		}
	}
	first()
	running.Wait()
	if !slices.IsSorted(order) || len(order) != asking || len(all.last) != 0 {
		t.Errorf("order %v, %d keys are held", order, len(all.last))
	}
}

func (l *Locks) lastOf(key string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[key]
}
