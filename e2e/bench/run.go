package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-gitops/sluice/e2e/cluster/gitserver"
	"github.com/sluice-gitops/sluice/e2e/world"
)

// inFlight is how many requests the bench itself has under way, where it asks for many things.
const inFlight = 16

// Options say what to measure.
type Options struct {
	// World to measure in, started with Audit. Nothing else should happen in it.
	World *world.World
	// Apps is the size of the fleet, at least 1.
	Apps int
	// Idle is how long the controllers are watched doing nothing.
	Idle time.Duration
	// Out receives a line per step.
	Out io.Writer
}

// runner is a bench on its way.
type runner struct {
	Options
	dynamic dynamic.Interface
	clients kubernetes.Interface
	repo    *gitserver.Repo
	apps    *follower // of the Kustomizations
	meter   *meter
	report  *Report
}

// Run measures everything. The report holds what could be measured, the error what could not.
func Run(ctx context.Context, options Options) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := prepare(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("prepare the bench: %w", err)
	}
	var failed []error
	if err := r.fewSources(ctx); err != nil {
		failed = append(failed, fmt.Errorf("few sources: %w", err))
	}
	if err := r.install(ctx); err != nil {
		return r.report, errors.Join(append(failed, fmt.Errorf("first install: %w", err))...)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"commit that changes one application", r.change},
		{"commit that changes none", r.move},
		{"scale by hand", r.drift},
		{"idle", r.idle},
		{"bare applies", r.floor},
		{"sources that poll", r.manySources},
	} {
		if err := step.do(ctx); err != nil {
			r.tell("   failed: %v", err)
			failed = append(failed, fmt.Errorf("%s: %w", step.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return r.report, errors.Join(failed...)
}

// prepare makes the namespace and the repository, and begins to watch.
func prepare(ctx context.Context, options Options) (*runner, error) {
	if options.Apps < 1 {
		return nil, fmt.Errorf("%d applications: there must be at least one", options.Apps)
	}
	r := &runner{Options: options, meter: newMeter(options.World)}
	config := options.World.Cluster.Config()
	config.QPS = -1 // the bench must not wait for its own client
	var err error
	if r.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	if r.clients, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	server, err := r.clients.Discovery().ServerVersion()
	if err != nil {
		return nil, err
	}
	r.report = &Report{Apps: options.Apps, CPUs: runtime.NumCPU(), Load: r.meter.load(), Kubernetes: server.GitVersion}
	if err := r.createNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	files, err := fleetFiles(options.Apps)
	if err != nil {
		return nil, err
	}
	if r.repo, err = options.World.Git.Repo(ctx, "bench/"+repository); err != nil {
		return nil, err
	}
	if _, err := r.repo.Commit(ctx, "the fleet", files, gitserver.CommitOptions{}); err != nil {
		return nil, err
	}
	r.apps, err = follow(ctx, r.dynamic, kustomizations)
	return r, err
}

func (r *runner) createNamespace(ctx context.Context, name string) error {
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := r.clients.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{})
	return err
}

// say begins a step.
func (r *runner) say(format string, args ...any) { r.tell("\n── "+format, args...) }

// tell prints a line. A terminal that is gone stops nothing.
func (r *runner) tell(format string, args ...any) { _, _ = fmt.Fprintf(r.Out, format+"\n", args...) }

// limit is how long something that all applications take part in may take.
func (r *runner) limit() time.Duration {
	return time.Minute + time.Duration(r.Apps)*600*time.Millisecond
}

// each does something for all applications, several at a time.
func (r *runner) each(ctx context.Context, do func(ctx context.Context, name string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for _, name := range appNames(r.Apps) {
		group.Go(func() error { return do(ctx, name) })
	}
	return group.Wait()
}

// rounds does something several times as one phase. Each round begins when the controllers are quiet.
func (r *runner) rounds(ctx context.Context, name string, rounds int, do func(round int) error) error {
	return r.measure(ctx, name, rounds, func() error {
		for round := range rounds {
			if err := do(round); err != nil {
				return err
			}
			if _, err := r.meter.settle(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// measure runs a phase and adds it to the report.
func (r *runner) measure(ctx context.Context, name string, rounds int, do func() error) error {
	phase, err := r.meter.measure(ctx, name, rounds, do)
	if err != nil {
		return err
	}
	r.report.Phases = append(r.report.Phases, phase)
	return nil
}
