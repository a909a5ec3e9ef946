package bench

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The phases' names as the report prints them.
const (
	phaseInstall = "first install"
	phaseChange  = "a commit that changes one application"
	phaseMove    = "a commit that changes none"
	phaseDrift   = "scaled by hand"
	phaseIdle    = "idle"
	phaseFew     = "twenty sources, and nothing is new"
	phasePolls   = "five hundred sources that poll, and nothing is new"
)

// Report holds the figures. A figure without runs was not measured.
type Report struct {
	Apps, CPUs int
	Kubernetes string
	// Load is the machine's load average at the beginning: above CPUs, others were at work and every time is longer.
	Load float64

	Install, ChangeOne, ChangeAll, MoveAll, Heal, Floor spread

	// Idle is how long the idle phase was.
	Idle time.Duration
	// Polls are what sources asked their upstreams for while nothing was new.
	Polls []polls

	Phases []phase
}

// Print writes the report as text.
func (r *Report) Print(w io.Writer) error {
	tables := []*table{r.times(), r.costs(), r.againstBudget(), r.polls(), r.kinds()}
	_, err := fmt.Fprintf(w, "\nSluice with %d applications of %d objects in one repository, on Kubernetes %s.\n"+
		"%d CPUs for everything, the API server and the bench included; load average at the beginning %.1f.\n",
		r.Apps, objectsPerApp, r.Kubernetes, r.CPUs, r.Load)
	for _, t := range tables {
		if len(t.rows) > 1 {
			_, failed := fmt.Fprintln(w)
			_, more := t.WriteTo(w)
			err = errors.Join(err, failed, more)
		}
	}
	_, failed := fmt.Fprintln(w, "\nTimes end with the watch event. Costs are until no request was made for a second. Memory is resident memory,\n"+
		"workers included; the program's own pages, which controller and workers share, count once.")
	return errors.Join(err, failed)
}

// times is the table of durations.
func (r *Report) times() *table {
	t := &table{}
	t.add("TIME", "median", "least", "most", "runs")
	row := func(name string, s spread) {
		switch s.Runs {
		case 0:
			t.add(name, "–", "", "", "0")
		case 1:
			t.add(name, duration(s.Median), "", "", "1")
		default:
			t.add(name, duration(s.Median), duration(s.Least), duration(s.Most), fmt.Sprint(s.Runs))
		}
	}
	row(fmt.Sprintf("first install: all %d Ready", r.Apps), r.Install)
	row(fmt.Sprintf("bare applies of the same %d objects", r.Apps*objectsPerApp), r.Floor)
	if r.Floor.Runs > 0 && r.Install.Runs > 0 {
		t.add("first install in bare applies", fmt.Sprintf("%.1f ×", r.Install.Median.Seconds()/r.Floor.Median.Seconds()))
	}
	row("a commit that changes one: its object changed", r.ChangeOne)
	row(fmt.Sprintf("a commit that changes one: all %d report it", r.Apps), r.ChangeAll)
	row(fmt.Sprintf("a commit that changes none: all %d report it", r.Apps), r.MoveAll)
	row("scaled by hand: healed", r.Heal)
	return t
}

// costs is the table of what each phase cost each controller, per round.
func (r *Report) costs() *table {
	t := &table{}
	header := []string{"COST, each time"}
	for _, controller := range controllers() {
		header = append(header, strings.TrimSuffix(controller, "-controller"))
	}
	t.add(append(header, "all")...)
	for _, p := range r.Phases {
		t.add(r.title(p))
		if p.Usage != nil {
			t.add(cells("  CPU, seconds", p.cpu, seconds(p.Rounds))...)
			t.add(cells("  memory, peak MiB", p.resident, mebibytes)...)
		}
		t.add(cells("  requests", p.count(p.Requests.counts, nil), per(p.Rounds))...)
		for _, verb := range p.Requests.verbs() {
			t.add(cells("    "+verb, p.count(p.Requests.counts, func(q request) bool { return q.Verb == verb }), per(p.Rounds))...)
		}
		if len(p.Requests.failed) > 0 {
			t.add(cells("    of these refused (4xx, 5xx)", p.count(p.Requests.failed, nil), per(p.Rounds))...)
		}
	}
	return t
}

func (r *Report) title(p phase) string {
	title := p.Name
	if p.Name == phaseIdle {
		title = fmt.Sprintf("%s for %.0f s, interval passes included", p.Name, r.Idle.Seconds())
	}
	if p.Restless {
		title += fmt.Sprintf(" (still making requests %.0f s later)", settleLimit.Seconds())
	}
	return title
}

// cells is a row: a value per controller, then that of all together.
func cells(name string, value func(controllers ...string) int64, text func(int64) string) []string {
	row := []string{name}
	for _, controller := range controllers() {
		row = append(row, text(value(controller)))
	}
	return append(row, text(value(controllers()...)))
}

func (p phase) cpu(controllers ...string) (total int64) {
	for _, controller := range controllers {
		total += int64(p.Usage[controller].cpu)
	}
	return total
}

func (p phase) resident(controllers ...string) (total int64) {
	for _, controller := range controllers {
		total += p.Usage[controller].resident
	}
	return total
}

func (p phase) count(counts map[request]int, matters func(request) bool) func(...string) int64 {
	return func(controllers ...string) (total int64) {
		for _, controller := range controllers {
			total += int64(sum(counts, func(q request) bool {
				return q.Controller == controller && (matters == nil || matters(q))
			}))
		}
		return total
	}
}

// againstBudget is the table of requests that the budget speaks about.
func (r *Report) againstBudget() *table {
	t := &table{}
	t.add("REQUESTS AND THEIR BUDGET, each time", "requests", "budget", "")
	for _, p := range r.Phases {
		revisions, changes, budgeted := p.occasions()
		if !budgeted {
			continue
		}
		t.add(r.title(p))
		for _, line := range budget() {
			n := sum(p.Requests.counts, line.belongs)
			allowed := line.allowed(revisions, r.Apps, changes)
			switch {
			case line.free:
				t.add("  "+line.Name, per(p.Rounds)(int64(n)), "", "")
			case n > allowed:
				t.add("  "+line.Name, per(p.Rounds)(int64(n)), per(p.Rounds)(int64(allowed)), "over")
			default:
				t.add("  "+line.Name, per(p.Rounds)(int64(n)), per(p.Rounds)(int64(allowed)), "")
			}
		}
	}
	return t
}

// occasions are what the budget allows requests for in a phase: new revisions, and applications that one changed.
func (p phase) occasions() (revisions, changes int, budgeted bool) {
	switch p.Name {
	case phaseChange:
		return p.Rounds, p.Rounds, true
	case phaseMove:
		return p.Rounds, 0, true
	case phaseIdle:
		return 0, 0, true
	default:
		return 0, 0, false
	}
}

// polls is the table of what it costs that nothing is new.
func (r *Report) polls() *table {
	t := &table{}
	t.add("POLLS THAT FIND NOTHING", "objects", "polls", "requests to upstream, each poll")
	total := 0
	for _, p := range r.Polls {
		t.add("  "+p.Kind, fmt.Sprint(p.Objects), fmt.Sprint(p.Polls), p.line())
		total += p.Polls
	}
	for _, p := range r.Phases {
		if p.Name != phasePolls || total == 0 {
			continue
		}
		const source = "source-controller"
		if p.Usage != nil {
			t.add("  CPU of source-controller, each poll", "", "", fmt.Sprintf("%.2f ms", float64(p.cpu(source))/float64(time.Millisecond)/float64(total)))
		}
		t.add("  requests to the API server, each poll", "", "", fmt.Sprintf("%.3f", float64(p.count(p.Requests.counts, nil)(source))/float64(total)))
	}
	return t
}

// kinds is the table of requests by kind, in the phases that have the most and the fewest.
func (r *Report) kinds() *table {
	t := &table{}
	t.add("REQUESTS BY KIND, each time", "verb", "requests")
	for _, p := range r.Phases {
		if p.Name == phaseChange || p.Name == phaseDrift {
			continue
		}
		t.add(r.title(p))
		for _, key := range p.Requests.sorted() {
			t.add("  "+key.Controller+" "+key.Kind, key.Verb, per(p.Rounds)(int64(p.Requests.counts[key])))
		}
	}
	return t
}

// duration has three digits or so: 62 ms, 4.21 s, 42.1 s.
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// seconds turns nanoseconds of all rounds into seconds of one.
func seconds(rounds int) func(int64) string {
	return func(n int64) string { return fmt.Sprintf("%.2f", time.Duration(n).Seconds()/float64(rounds)) }
}

func mebibytes(n int64) string { return fmt.Sprint((n + 1<<19) >> 20) }

// per turns a count of all rounds into that of one.
func per(rounds int) func(int64) string {
	return func(n int64) string {
		if n%int64(rounds) == 0 {
			return fmt.Sprint(n / int64(rounds))
		}
		return fmt.Sprintf("%.1f", float64(n)/float64(rounds))
	}
}
