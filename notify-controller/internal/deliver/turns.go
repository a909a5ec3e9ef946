package deliver

import "sync"

// turns lets one at a time do something about a key. Others of the same key wait, those of other keys never do. The zero
// value is ready, holds nothing about a key that nobody has or waits for, and is safe for concurrent use.
type turns struct {
	mu    sync.Mutex
	taken map[string]*turn
}

type turn struct {
	sync.Mutex
	interested int // who has it, and who waits
}

// take waits for the key's turn, which lasts until it is given back.
func (t *turns) take(key string) (giveBack func()) {
	mine := t.join(key)
	mine.Lock()
	return func() {
		mine.Unlock()
		t.leave(key, mine)
	}
}

func (t *turns) join(key string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken == nil {
		t.taken = map[string]*turn{}
	}
	mine, ok := t.taken[key]
	if !ok {
		mine = &turn{}
		t.taken[key] = mine
	}
	mine.interested++
	return mine
}

func (t *turns) leave(key string, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine.interested--
	if mine.interested == 0 {
		delete(t.taken, key)
	}
}
