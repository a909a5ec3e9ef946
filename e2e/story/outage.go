package story

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gitops/sluice/e2e/cluster"
)

// startTimeout bounds how long a workload may take until it is up again.
const startTimeout = time.Minute

// probeTimeout bounds one question about a controller's health.
const probeTimeout = 5 * time.Second

// Outages take turns: a story that has taken something down keeps Session.outage until all of it runs again. Other
// stories go on meanwhile, and have to come through it. One that cannot, because it counts on every message of a process,
// keeps the turn as long as it does: calm.

// calm has nothing taken down by other stories, until calm over: what a killed process had not told yet is told as the
// state it led to, and a chat hears of changes only.
func (s *Session) calm(ts *testscript.TestScript, _ bool, args []string) {
	here := sceneOf(ts)
	switch {
	case len(args) == 0 && !here.calm:
		s.takeTurn(here)
		here.calm = true
	case slices.Equal(args, []string{"over"}) && here.calm:
		here.calm = false
		s.passTurn(here)
	default:
		ts.Fatalf("usage: calm, and later: calm over")
	}
}

// takeTurn waits for the story's turn to take something down, unless it has it.
func (s *Session) takeTurn(here *scene) {
	if !here.calm && len(here.down) == 0 {
		s.outage.Lock()
	}
}

// passTurn lets the next story have its turn, unless this one still needs it.
func (s *Session) passTurn(here *scene) {
	if !here.calm && len(here.down) == 0 {
		s.outage.Unlock()
	}
}

// halt kills workloads and leaves them down: halt nats
func (s *Session) halt(ts *testscript.TestScript, _ bool, args []string) {
	here := sceneOf(ts)
	for _, name := range args {
		p := s.workload(ts, name)
		s.takeTurn(here)
		if !slices.Contains(here.down, name) {
			here.down = append(here.down, name)
		}
		p.Kill()
	}
}

// resume starts what halt took down, and waits until it is ready: resume nats
func (s *Session) resume(ctx context.Context) command {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		for _, name := range args {
			s.workload(ts, name)
			ts.Check(s.start(ctx, sceneOf(ts), name))
		}
	}
}

// launch starts what halt took down, and does not wait: it may not become ready before something else is up. resume then
// waits for it: launch notify-controller
func (s *Session) launch(ctx context.Context) command {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		for _, name := range args {
			ts.Check(s.workload(ts, name).Launch(ctx))
		}
	}
}

// crash kills workloads with SIGKILL and starts them again: crash source-controller
func (s *Session) crash(ctx context.Context) command {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		for _, name := range args {
			s.halt(ts, false, []string{name})
			ts.Check(s.start(ctx, sceneOf(ts), name))
		}
	}
}

func (s *Session) workload(ts *testscript.TestScript, name string) *cluster.Process {
	p := s.World.Stack.Process(name)
	if p == nil {
		ts.Fatalf("no workload %s", name)
	}
	return p
}

// start has one workload up, and ends the outage if it was the last.
func (s *Session) start(ctx context.Context, here *scene, name string) error {
	if !slices.Contains(here.down, name) {
		return fmt.Errorf("%s was not halted here", name)
	}
	if err := up(ctx, s.World.Stack.Process(name)); err != nil {
		return err
	}
	here.down = slices.DeleteFunc(here.down, func(down string) bool { return down == name })
	s.passTurn(here)
	return nil
}

// restore starts what a story left down, NATS before those that wait for it, and gives its turn back.
func (s *Session) restore(here *scene) error {
	if !here.calm && len(here.down) == 0 {
		return nil
	}
	here.calm = true
	var errs []error
	for _, name := range s.World.Stack.Names() {
		if slices.Contains(here.down, name) {
			errs = append(errs, s.start(context.Background(), here, name))
		}
	}
	here.calm, here.down = false, nil
	s.passTurn(here)
	return errors.Join(errs...)
}

// up starts a process unless it runs, and waits until it is ready.
func up(ctx context.Context, p *cluster.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case <-p.Done():
		if err := p.Launch(ctx); err != nil {
			return err
		}
	default:
	}
	return p.Await(ctx)
}

// health asks a controller what a kubelet asks it, healthz or readyz: "200 OK", or why there is no answer.
func (s *Session) health(ctx context.Context, name, path string) string {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	address := "http://" + s.World.Stack.HealthAddress(name) + "/" + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	return response.Status
}
