package build

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"
)

// interval is the time between two lines that say how far something is.
const interval = 10 * time.Second

// Lines serialises what several goroutines print. It is safe for concurrent use.
type Lines struct {
	mu  sync.Mutex
	out io.Writer
}

// NewLines prints to out; nil for nobody.
func NewLines(out io.Writer) *Lines {
	if out == nil {
		out = io.Discard
	}
	return &Lines{out: out}
}

// Printf writes one line. A terminal that is gone stops nothing.
func (l *Lines) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.out, format+"\n", args...)
}

// pace is due once per interval.
type pace struct{ last time.Time }

func newPace(begin time.Time) *pace { return &pace{last: begin} }

func (p *pace) due(now time.Time) bool {
	if now.Sub(p.last) < interval {
		return false
	}
	p.last = now
	return true
}

// compiled is how far go build is. It prints a package when it begins with it.
type compiled struct {
	waiting    map[string]bool
	total      int
	begin, now time.Time
	cores      int
}

func newCompiled(stale []string, begin time.Time, cores int) *compiled {
	c := &compiled{waiting: map[string]bool{}, total: len(stale), begin: begin, now: begin, cores: cores}
	for _, path := range stale {
		c.waiting[path] = true
	}
	return c
}

// add takes a line of go build -v; false if it is not one of the packages.
func (c *compiled) add(line string) bool {
	if !c.waiting[line] {
		return false
	}
	delete(c.waiting, line)
	return true
}

// String says how many are done and how long the rest takes: at first as
// measured elsewhere, then more and more at the speed of this build.
func (c *compiled) String() string {
	done := c.total - len(c.waiting)
	if done == c.total && c.total > 0 {
		return fmt.Sprintf("all %d packages compiled, linking", c.total)
	}
	share := float64(done) / float64(c.total)
	measured := work{packages: len(c.waiting)}.on(c.cores)
	rest := measured
	if done > 0 {
		own := time.Duration(float64(c.now.Sub(c.begin)) * (1 - share) / share)
		rest = time.Duration(share*float64(own) + (1-share)*float64(measured))
	}
	return fmt.Sprintf("%d of %d packages compiled, %s to go", done, c.total, about(rest))
}

// fetched counts modules and the bytes of those that have arrived.
type fetched struct {
	cache string // GOMODCACHE
	zips  []string
}

// add takes a line of the Go tool; false if it is not about a module that is fetched.
func (f *fetched) add(line string) bool {
	name, ok := strings.CutPrefix(line, "go: downloading ")
	module, version, found := strings.Cut(name, " ")
	if !ok || !found {
		return false
	}
	f.zips = append(f.zips, filepath.Join(f.cache, "cache", "download", escaped(module), "@v", escaped(version)+".zip"))
	return true
}

func (f *fetched) String() string {
	var bytes int64
	for _, zip := range f.zips {
		if info, err := os.Stat(zip); err == nil {
			bytes += info.Size()
		}
	}
	return fmt.Sprintf("%d modules, %d MB fetched", len(f.zips), bytes/1e6)
}

// escaped is how the module cache writes capitals, for file systems that take
// them for small letters.
func escaped(path string) string {
	var out strings.Builder
	for _, r := range path {
		if unicode.IsUpper(r) {
			out.WriteByte('!')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
