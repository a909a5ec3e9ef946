package consume

import "sync"

// Locks lets one at a time do something about a key, in the order in which they asked. Others of the same key wait, those
// of other keys never do. The zero value is ready, holds nothing about a key that nobody has or waits for, and is safe for
// concurrent use.
type Locks struct {
	mu   sync.Mutex
	last map[string]chan struct{} // of who asked last; closed when that one has unlocked it
}

// Lock waits until nobody who asked before has the key, and holds it until it is unlocked.
func (l *Locks) Lock(key string) (unlock func()) {
	mine := make(chan struct{})
	l.mu.Lock()
	if l.last == nil {
		l.last = map[string]chan struct{}{}
	}
	before := l.last[key]
	l.last[key] = mine
	l.mu.Unlock()
	if before != nil {
		<-before
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.last[key] == mine {
			delete(l.last, key)
		}
		close(mine)
	}
}
