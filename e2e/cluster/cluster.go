package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/sluice-gitops/sluice/e2e/build"
	"github.com/sluice-gitops/sluice/e2e/lock"
)

// startTimeout bounds the start of the whole control plane. It takes seconds;
// a machine that compiles at the same time needs more.
const startTimeout = 3 * time.Minute

// Options says where a cluster lives.
type Options struct {
	// Dir holds everything the cluster writes: data, keys, logs (in logs/), and
	// the administrator's kubeconfig. What an earlier cluster left there is
	// replaced. Two clusters cannot use one folder.
	Dir string
	// Out receives a line per step. Nil discards them.
	Out io.Writer
	// Audit has the API server keep a record of requests, which Audit reads.
	Audit bool
	// Bin is a folder with the programs; empty means that of build.ControlPlane.
	Bin string
}

// Cluster is a running control plane. Its methods are safe for concurrent use.
type Cluster struct {
	layout *layout
	config *rest.Config
	out    *progress
	unlock func()

	mu        sync.Mutex
	processes map[string]*Process

	stop     sync.Once
	stopDone chan struct{}
}

// Start starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler
// and two simulated nodes, and returns when pods can be scheduled. The cluster
// stops when ctx ends. If Start fails, nothing is left running.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	c, err := prepare(ctx, opts)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.startAll(startCtx); err != nil {
		c.Stop()
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	context.AfterFunc(ctx, c.Stop)
	c.out.step("cluster", begin)
	return c, nil
}

// Config returns the administrator's client configuration, a new copy each time.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Dir is the folder of Options.
func (c *Cluster) Dir() string { return c.layout.dir }

// Bin is the folder of the programs: kubectl, helm, nats-server and the rest.
func (c *Cluster) Bin() string { return c.layout.bin }

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.layout.dir, "kubeconfig") }

// CA is the PEM-encoded certificate that signs the API server's.
func (c *Cluster) CA() []byte { return c.layout.pki.pem }

// Process returns a part of the control plane by its name (Etcd, APIServer, …),
// to be killed or restarted by tests; nil if there is none of that name.
func (c *Cluster) Process(name string) *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[name]
}

// Stop stops everything in reverse order and returns when all processes are
// gone. Further calls wait for the first.
func (c *Cluster) Stop() {
	c.stop.Do(func() {
		defer close(c.stopDone)
		for _, name := range []string{Kwok, Scheduler, ControllerManager, APIServer, Etcd} {
			if p := c.Process(name); p != nil {
				p.Stop()
			}
		}
		c.unlock()
	})
	<-c.stopDone
}

// Done is closed when the cluster has stopped.
func (c *Cluster) Done() <-chan struct{} { return c.stopDone }

// prepare writes all files that the processes need.
func prepare(ctx context.Context, opts Options) (*Cluster, error) {
	out := newProgress(opts.Out)
	if opts.Dir == "" {
		return nil, errors.New("start cluster: Options.Dir is empty")
	}
	if opts.Bin == "" {
		bin, err := build.ControlPlane(ctx, opts.Out)
		if err != nil {
			return nil, err
		}
		opts.Bin = bin
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	unlock, err := lock.File(ctx, filepath.Join(dir, ".lock"), func() {
		out.Printf("waiting for another cluster that runs in %s …", dir)
	})
	if err != nil {
		return nil, fmt.Errorf("start cluster: lock %s: %w", dir, err)
	}
	c := &Cluster{
		layout:    &layout{bin: opts.Bin, dir: dir, audit: opts.Audit},
		out:       out,
		unlock:    unlock,
		processes: map[string]*Process{},
		stopDone:  make(chan struct{}),
	}
	if err := c.writeState(); err != nil {
		unlock()
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	return c, nil
}

// writeState replaces what an earlier cluster left and makes ports, keys and
// configuration files.
func (c *Cluster) writeState() error {
	l := c.layout
	for _, name := range []string{"etcd", "pki", "kubeconfigs", "logs", "home"} {
		if err := os.RemoveAll(filepath.Join(l.dir, name)); err != nil {
			return fmt.Errorf("remove earlier state: %w", err)
		}
	}
	ports, err := freePorts(5)
	if err != nil {
		return err
	}
	l.etcdPort, l.etcdPeerPort, l.apiPort, l.managerPort, l.schedulerPort = ports[0], ports[1], ports[2], ports[3], ports[4]
	if l.pki, err = newPKI(filepath.Join(l.dir, "pki")); err != nil {
		return err
	}
	if err := errors.Join(l.pki.server("serving"), l.pki.signingKey("sa"), l.writeKubeconfigs()); err != nil {
		return err
	}
	admin, err := l.pki.client("admin", "system:masters")
	if err != nil {
		return err
	}
	tlsConfig, err := l.pki.tlsConfig(admin)
	if err != nil {
		return err
	}
	l.http = &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true}}
	c.config = l.restConfig(admin)
	if err := writeKubeconfig(c.Kubeconfig(), c.config); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(l.dir, "scheduler.yaml"), []byte(l.schedulerConfig()), 0o600),
		os.WriteFile(l.auditPolicyFile(), []byte(auditPolicy), 0o600),
		writeStages(filepath.Join(l.dir, "stages.yaml")),
	)
}

// startAll starts etcd, then the API server, then the rest side by side.
func (c *Cluster) startAll(ctx context.Context) error {
	l := c.layout
	for _, spec := range []Spec{l.etcd(), l.apiServer()} {
		if err := c.startProcess(ctx, spec); err != nil {
			return err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, spec := range []Spec{l.controllerManager(), l.scheduler(), l.kwok()} {
		group.Go(func() error { return c.startProcess(groupCtx, spec) })
	}
	group.Go(func() error { return c.startNodes(groupCtx) })
	return group.Wait()
}

func (c *Cluster) startProcess(ctx context.Context, spec Spec) error {
	begin := time.Now()
	p, err := StartProcess(ctx, spec)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.processes[spec.Name] = p
	c.mu.Unlock()
	if spec.Ready != nil {
		c.out.step(spec.Name, begin)
	}
	return nil
}
