package cluster

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress serialises lines that several goroutines write.
type progress struct {
	mu  sync.Mutex
	out io.Writer
}

func newProgress(out io.Writer) *progress {
	if out == nil {
		out = io.Discard
	}
	return &progress{out: out}
}

// printf writes one line. A terminal that is gone stops nothing.
func (p *progress) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *progress) step(what string, begin time.Time) {
	p.printf("%s ready in %.1fs", what, time.Since(begin).Seconds())
}
