package story

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// errFailed is what a player panics with to leave a story that failed.
var errFailed = errors.New("story failed")

// player is the testing.T of a story that runs outside go test.
type player struct {
	out io.Writer
	log strings.Builder
}

func (p *player) Skip(args ...any)  { p.Fatal(append([]any{"a story is never skipped:"}, args...)...) }
func (p *player) Parallel()         {}
func (p *player) Verbose() bool     { return false }
func (p *player) FailNow()          { panic(errFailed) }
func (p *player) Log(args ...any)   { fmt.Fprintln(&p.log, args...) }
func (p *player) Fatal(args ...any) { p.Log(args...); p.FailNow() }

func (p *player) Run(_ string, run func(testscript.T)) { run(p) }
