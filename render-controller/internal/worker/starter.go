package worker

import (
	"runtime"
	"sync"
)

// starter starts children, all from one thread: the kernel kills a child with the thread that started it (see
// dieWithParent), and that of another goroutine may end any time.
type starter struct {
	do       func() (*process, error)
	requests chan chan<- started
	begun    sync.Once
	ended    chan struct{}
}

// started is the answer to a request.
type started struct {
	child *process
	err   error
}

func newStarter(do func() (*process, error)) *starter {
	return &starter{do: do, requests: make(chan chan<- started), ended: make(chan struct{})}
}

// start returns a new child. The first call begins the thread.
func (s *starter) start() (*process, error) {
	s.begun.Do(func() { go s.run() })
	answer := make(chan started, 1)
	select {
	case s.requests <- answer:
		got := <-answer
		return got.child, got.err
	case <-s.ended:
		return nil, errClosed
	}
}

// end is called once. The thread goes back to the runtime, and the children live on.
func (s *starter) end() { close(s.ended) }

func (s *starter) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case answer := <-s.requests:
			child, err := s.do()
			answer <- started{child, err}
		case <-s.ended:
			return
		}
	}
}
