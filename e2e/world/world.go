// Package world is everything a story happens in: a control plane, Sluice installed from its chart, a Git server, and
// sinks that play Slack and PagerDuty. Only the sinks are not the real thing.
package world

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/sluice-gitops/sluice/e2e/cluster"
	"github.com/sluice-gitops/sluice/e2e/cluster/gitserver"
	"github.com/sluice-gitops/sluice/e2e/cluster/sink"
	"github.com/sluice-gitops/sluice/e2e/cluster/stack"
	"github.com/sluice-gitops/sluice/e2e/cluster/upstream"
)

// Options say where a world lives.
type Options struct {
	// Dir holds everything that is written. It is emptied first.
	Dir string
	// Root is the root of the repository, with charts/sluice and bin/.
	Root string
	// Values for the chart, as in --set.
	Values []string
	// Audit has the API server keep a record of requests (see cluster.Options).
	Audit bool
	// Out receives a line per step.
	Out io.Writer
}

// World is running until Stop.
type World struct {
	Cluster *cluster.Cluster
	Stack   *stack.Stack
	Git     *gitserver.Server
	SSH     *gitserver.SSH
	Sink    *sink.Server
	// Registry, Charts and Buckets are where sources come from beside Git.
	Registry *upstream.Registry
	Charts   *upstream.Charts
	Buckets  *upstream.Buckets

	dir, chart string
	stop       sync.Once
}

// Start starts everything. On an error, or when ctx ends, nothing of it is left running.
func Start(ctx context.Context, o Options) (*World, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start world: %w", err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o750)); err != nil {
		return nil, fmt.Errorf("start world: %w", err)
	}
	if o.Root, err = filepath.Abs(o.Root); err != nil {
		return nil, fmt.Errorf("start world: %w", err)
	}
	w := &World{dir: dir, chart: filepath.Join(o.Root, "charts", "sluice")}
	if err := w.start(ctx, o); err != nil {
		w.Stop()
		return nil, err
	}
	context.AfterFunc(ctx, w.Stop)
	return w, nil
}

func (w *World) start(ctx context.Context, o Options) (err error) {
	if w.Cluster, err = cluster.Start(ctx, cluster.Options{Dir: filepath.Join(w.dir, "cluster"), Out: o.Out, Audit: o.Audit}); err != nil {
		return err
	}
	if w.Git, err = gitserver.Start(gitserver.Options{Dir: filepath.Join(w.dir, "git")}); err != nil {
		return err
	}
	if w.SSH, err = w.Git.StartSSH(); err != nil {
		return err
	}
	if err := w.startUpstreams(); err != nil {
		return err
	}
	if w.Sink, err = sink.Start(sink.Options{}); err != nil {
		return err
	}
	w.Stack, err = stack.Start(ctx, stack.Options{
		Cluster: w.Cluster,
		Dir:     filepath.Join(w.dir, "stack"),
		Chart:   w.chart,
		Bin:     filepath.Join(o.Root, "bin"),
		Values:  o.Values,
		Out:     o.Out,
	})
	return err
}

// AccessKey and SecretKey are let in by Buckets.
const (
	AccessKey = "AKIASTORYEXAMPLE"
	SecretKey = "story/secret+key=EXAMPLE"
)

func (w *World) startUpstreams() (err error) {
	if w.Registry, err = upstream.StartRegistry(); err != nil {
		return err
	}
	if w.Charts, err = upstream.StartCharts(); err != nil {
		return err
	}
	if w.Buckets, err = upstream.StartBuckets(); err != nil {
		return err
	}
	w.Buckets.Allow(AccessKey, SecretKey)
	return nil
}

// Dir is the folder of Options.
func (w *World) Dir() string { return w.dir }

// Chart is the folder of the chart that is installed.
func (w *World) Chart() string { return w.chart }

// Stop stops everything, the controllers first. Further calls wait for the first.
func (w *World) Stop() {
	w.stop.Do(func() {
		if w.Stack != nil {
			w.Stack.Stop()
		}
		if w.SSH != nil {
			_ = w.SSH.Close()
		}
		if w.Git != nil {
			_ = w.Git.Close()
		}
		if w.Registry != nil {
			_ = w.Registry.Close()
		}
		if w.Charts != nil {
			_ = w.Charts.Close()
		}
		if w.Buckets != nil {
			_ = w.Buckets.Close()
		}
		if w.Sink != nil {
			_ = w.Sink.Close()
		}
		if w.Cluster != nil {
			w.Cluster.Stop()
		}
	})
}
