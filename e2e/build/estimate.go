package build

import (
	"fmt"
	"math"
	"time"
)

// What was measured on two cores of a cloud machine, from nothing, with the
// versions of November 2026. Others used the machine too, so a quiet one is
// rather faster. In one run of 3,831 packages go used 816 s of processor time.
const (
	// perPackage is the processor time of one package, its share of listing and
	// linking included.
	perPackage = 200 * time.Millisecond
	// perModule is the time of one module, most of it to unpack it: 367 modules of
	// 339 MB in 32 s into an empty GOMODCACHE. More of them at a time took longer.
	perModule = 90 * time.Millisecond
	// usefulCores is how many cores a build keeps busy: beyond, packages wait for
	// each other. It is a guess from the depth of the graph, not measured.
	usefulCores = 8
)

// work is what there is to do.
type work struct{ modules, packages int }

func (w work) plus(other work) work {
	return work{modules: w.modules + other.modules, packages: w.packages + other.packages}
}

// on is how long the work takes.
func (w work) on(cores int) time.Duration {
	return time.Duration(w.modules)*perModule + time.Duration(w.packages)*perPackage/time.Duration(min(cores, usefulCores))
}

// String lists what there is to do.
func (w work) String() string {
	if w.modules == 0 {
		return fmt.Sprintf("%d packages to compile", w.packages)
	}
	return fmt.Sprintf("about %d modules to fetch, %d packages to compile", w.modules, w.packages)
}

// about rounds to what an estimate is worth.
func about(d time.Duration) string {
	switch {
	case d < 15*time.Second:
		return "some seconds"
	case d < 50*time.Second:
		return fmt.Sprintf("about %d seconds", int(math.Round(d.Seconds()/10))*10)
	case d < 90*time.Second:
		return "about a minute"
	case d < 5*time.Minute && d.Round(30*time.Second)%time.Minute != 0:
		return fmt.Sprintf("about %d½ minutes", int(d.Round(30*time.Second).Minutes()))
	}
	return fmt.Sprintf("about %d minutes", int(d.Round(time.Minute).Minutes()))
}

// short is what was measured, without fractions that nobody reads.
func short(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
