package bench

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gitops/sluice/e2e/cluster"
	"github.com/sluice-gitops/sluice/e2e/world"
)

const (
	// samplePause is how often memory is looked at. A peak between two looks is missed.
	samplePause = 200 * time.Millisecond
	settlePause = 250 * time.Millisecond
	// quiet is how long no controller asks anything when a phase has settled; settleLimit is how long that is waited for.
	quiet       = time.Second
	settleLimit = 10 * time.Second
)

func controllers() []string {
	return []string{"source-controller", "render-controller", "sync-controller", "notify-controller"}
}

// phase is what one part of the bench cost, until the controllers were quiet again.
type phase struct {
	Name string
	// Rounds is how many times it was done; everything else is for all of them.
	Rounds   int
	Requests requests
	// Usage by controller: CPU used in the phase, and the most memory at one time. Nil where there is no /proc.
	Usage map[string]usage
	// Restless means that the controllers did not become quiet.
	Restless bool
}

// meter measures phases, one at a time.
type meter struct {
	cluster   *cluster.Cluster
	processes map[string]*cluster.Process
	proc      fs.FS // nil where there is none

	mu    sync.Mutex
	peaks map[string]int64
}

func newMeter(w *world.World) *meter {
	m := &meter{cluster: w.Cluster, processes: map[string]*cluster.Process{}}
	for _, name := range controllers() {
		if p := w.Stack.Process(name); p != nil {
			m.processes[name] = p
		}
	}
	if _, err := os.Stat("/proc/self/stat"); err == nil {
		m.proc = os.DirFS("/proc")
	}
	return m
}

// measure runs do and tells what it cost. The phase is complete even if do failed.
func (m *meter) measure(ctx context.Context, name string, rounds int, do func() error) (phase, error) {
	before, err := m.sample()
	if err != nil {
		return phase{}, err
	}
	m.resetPeaks(before)
	begin := time.Now()
	sampling, stop := context.WithCancel(ctx)
	sampled := make(chan struct{})
	go func() { defer close(sampled); m.watchMemory(sampling) }()
	failed := do()
	settled, err := m.settle(ctx)
	stop()
	<-sampled
	if failed != nil || err != nil {
		return phase{}, fmt.Errorf("%w%s", cmp.Or(failed, err), m.exited())
	}
	entries, err := m.cluster.Audit()
	if err != nil {
		return phase{}, err
	}
	after, err := m.sample()
	if err != nil {
		return phase{}, err
	}
	return phase{
		Name: name, Rounds: rounds, Restless: !settled,
		Requests: countRequests(entries, begin, time.Now()), Usage: m.difference(before, after),
	}, nil
}

// load is the machine's load average of the last minute, 0 where it cannot be known.
func (m *meter) load() float64 {
	if m.proc == nil {
		return 0
	}
	text, err := fs.ReadFile(m.proc, "loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

// settle waits until the controllers are quiet, and tells whether they became so.
func (m *meter) settle(ctx context.Context) (bool, error) {
	begin := time.Now()
	ticker := time.NewTicker(settlePause)
	defer ticker.Stop()
	for time.Since(begin) < settleLimit {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-ticker.C:
		}
		entries, err := m.cluster.Audit()
		if err != nil {
			return false, err
		}
		now := time.Now()
		since := now.Add(-quiet)
		if since.After(begin) && len(countRequests(entries, since, now).counts) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// sample is what each controller has used so far, nil where it cannot be known.
func (m *meter) sample() (map[string]usage, error) {
	if m.proc == nil {
		return nil, nil
	}
	table, err := processTable(m.proc)
	if err != nil {
		return nil, err
	}
	all := map[string]usage{}
	for name, process := range m.processes {
		all[name] = usageOf(m.proc, table, process.PID(), int64(os.Getpagesize()))
	}
	return all, nil
}

func (m *meter) resetPeaks(now map[string]usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peaks = map[string]int64{}
	for name, u := range now {
		m.peaks[name] = u.resident
	}
}

// watchMemory keeps the peaks until ctx ends.
func (m *meter) watchMemory(ctx context.Context) {
	ticker := time.NewTicker(samplePause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now, err := m.sample()
		if err != nil {
			return // the sample at the end of the phase tells
		}
		m.mu.Lock()
		for name, u := range now {
			m.peaks[name] = max(m.peaks[name], u.resident)
		}
		m.mu.Unlock()
	}
}

func (m *meter) difference(before, after map[string]usage) map[string]usage {
	if after == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	spent := map[string]usage{}
	for name, u := range after {
		spent[name] = usage{cpu: u.cpu - before[name].cpu, resident: max(u.resident, m.peaks[name])}
	}
	return spent
}

// exited names the controllers that run no more, to complete an error.
func (m *meter) exited() string {
	var gone []string
	for name, process := range m.processes {
		select {
		case <-process.Done():
			gone = append(gone, fmt.Sprintf("%s runs no more (%v)", name, process.Err()))
		default:
		}
	}
	if len(gone) == 0 {
		return ""
	}
	slices.Sort(gone)
	return "; " + strings.Join(gone, "; ")
}
