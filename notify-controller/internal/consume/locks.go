package deliver

import "sync"

// turns lets one at a time do something about a key, in the order in which they asked. Others of the same key wait, those
// of other keys never do. The zero value is ready, holds nothing about a key that nobody has or waits for, and is safe for
// concurrent use.
type turns struct {
	mu   sync.Mutex
	last map[string]chan struct{} // of who asked last; closed when that turn is over
}

// take waits for the key's turn, which lasts until it is given back.
func (t *turns) take(key string) (giveBack func()) {
	mine := make(chan struct{})
	t.mu.Lock()
	if t.last == nil {
		t.last = map[string]chan struct{}{}
	}
	before := t.last[key]
	t.last[key] = mine
	t.mu.Unlock()
	if before != nil {
		<-before
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.last[key] == mine {
			delete(t.last, key)
		}
		close(mine)
	}
}
