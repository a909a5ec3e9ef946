package cluster

import (
	"io"
	"time"

	"github.com/sluice-gitops/sluice/e2e/build"
)

// progress says what is ready.
type progress struct{ *build.Lines }

func newProgress(out io.Writer) *progress { return &progress{build.NewLines(out)} }

func (p *progress) step(what string, begin time.Time) {
	p.Printf("%s ready in %.1fs", what, time.Since(begin).Seconds())
}
