package worker

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
)

// ledger holds what this process and its working children hold of the memory that they share. It is safe for concurrent
// use.
type ledger struct {
	// limit of one child, and of all processes together; no limit when zero.
	limit, total int64
	// relieve gives back what can be spared.
	relieve func()

	mu       sync.Mutex
	held     map[*process]int64
	relieved bool
}

// excess is why a child has to be killed now; empty when it need not be. When all hold too much together it is the one that
// holds most, so that a kernel short of memory does not end this process, and with it all the others.
func (l *ledger) excess(child *process) string {
	resident, private := memoryOf(child.command.Process.Pid)
	if resident > l.limit {
		return fmt.Sprintf("held more than %d MiB of memory and was stopped", l.limit>>20)
	}
	if l.total <= 0 {
		return ""
	}
	_, own := memoryOf(os.Getpid())
	switch l.enter(child, private, own) {
	case spare:
		l.relieve()
		debug.FreeOSMemory()
	case tooMuch:
		return fmt.Sprintf("was stopped because it held most, %d MiB, of the %d MiB that render-controller and its workers may hold together: "+
			"give render-controller more memory, or make the rendering smaller", private>>20, l.total>>20)
	}
	return ""
}

// verdict on how much all hold together.
type verdict int

const (
	enough verdict = iota
	// spare says that what can be spared has to be given back.
	spare
	// tooMuch says that this is not enough, and that the child holds most.
	tooMuch
)

// enter takes down what a child holds.
func (l *ledger) enter(child *process, private, own int64) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[child] = private
	sum := own
	most := true
	for other, held := range l.held {
		sum += held
		most = most && (other == child || held <= private)
	}
	switch {
	case sum <= l.total:
		l.relieved = false
		return enough
	case !l.relieved:
		l.relieved = true
		return spare
	case most:
		return tooMuch
	default:
		return enough
	}
}

// leave takes out a child that has nothing to do any more.
func (l *ledger) leave(child *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, child)
}
