package stack

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-gitops/sluice/e2e/cluster"
)

// Namespace is where the chart is installed: the one Flux's command line looks in.
const Namespace = "flux-system"

// NATS is the name of the message bus' workload.
const NATS = "nats"

const (
	release       = "sluice"
	chartSelector = "app.kubernetes.io/instance=" + release
	readyTimeout  = time.Minute
)

// Options says what to run and where.
type Options struct {
	// Cluster to install into.
	Cluster *cluster.Cluster
	// Dir receives mounts, kubeconfigs and logs.
	Dir string
	// Chart is the folder of charts/sluice.
	Chart string
	// Bin is the folder with the controllers' programs.
	Bin string
	// Values are passed to helm install as --set.
	Values []string
	// Out receives a line per step; nil discards them.
	Out io.Writer
}

// Stack is a running Sluice.
type Stack struct {
	options   Options
	clients   kubernetes.Interface
	workloads []workload
	services  map[string]int
	processes map[string]*cluster.Process
}

// Start installs the chart and starts NATS and the four controllers; they are ready when it returns. On an error nothing
// of it runs.
func Start(ctx context.Context, options Options) (*Stack, error) {
	if options.Out == nil {
		options.Out = io.Discard
	}
	clients, err := kubernetes.NewForConfig(options.Cluster.Config())
	if err != nil {
		return nil, fmt.Errorf("start stack: %w", err)
	}
	s := &Stack{options: options, clients: clients, processes: map[string]*cluster.Process{}}
	if err := s.start(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start stack: %w", err)
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	if err := s.install(ctx); err != nil {
		return err
	}
	var err error
	if s.workloads, err = readWorkloads(ctx, s.clients); err != nil {
		return err
	}
	if s.services, err = readServices(ctx, s.clients, s.workloads); err != nil {
		return err
	}
	for _, w := range s.workloads {
		if err := s.run(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// install runs the real helm with no replicas: the pods are played here.
func (s *Stack) install(ctx context.Context) error {
	begin := time.Now()
	args := []string{"upgrade", "--install", release, s.options.Chart, "--namespace", Namespace, "--create-namespace", "--wait"}
	for _, component := range []string{"source", "render", "sync", "notify", "nats"} {
		args = append(args, "--set", component+".replicas=0")
	}
	for _, value := range s.options.Values {
		args = append(args, "--set", value)
	}
	if _, err := s.options.Cluster.Helm(ctx, args...); err != nil {
		return err
	}
	fmt.Fprintf(s.options.Out, "chart installed in %.1fs\n", time.Since(begin).Seconds())
	return nil
}

func (s *Stack) run(ctx context.Context, w workload) error {
	spec, err := s.spec(ctx, w)
	if err != nil {
		return err
	}
	begin := time.Now()
	ready, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	process, err := cluster.StartProcess(ready, spec)
	if err != nil {
		return err
	}
	s.processes[w.name] = process
	fmt.Fprintf(s.options.Out, "%s ready in %.1fs\n", w.name, time.Since(begin).Seconds())
	return nil
}

func (s *Stack) spec(ctx context.Context, w workload) (cluster.Spec, error) {
	dir := s.folder(w)
	mounts, err := mount(ctx, s.clients, w, dir)
	if err != nil {
		return cluster.Spec{}, err
	}
	command, err := Translate(w.container(), Place{
		Namespace: Namespace, Ports: w.ports, Mounts: mounts, Services: s.services, Secret: s.secret(ctx),
	})
	if err != nil {
		return cluster.Spec{}, fmt.Errorf("%s: %w", w.name, err)
	}
	env := append(command.Env, "PATH="+os.Getenv("PATH"), "HOME="+dir, "TMPDIR="+mounts["/tmp"])
	path := filepath.Join(s.options.Bin, w.name)
	if w.name == NATS {
		path = filepath.Join(s.options.Cluster.Bin(), "nats-server")
	} else {
		kubeconfig := filepath.Join(dir, "kubeconfig")
		if err := s.options.Cluster.AccountKubeconfig(ctx, Namespace, w.pod.ServiceAccountName, kubeconfig); err != nil {
			return cluster.Spec{}, err
		}
		env = append(env, "KUBECONFIG="+kubeconfig)
	}
	return cluster.Spec{
		Name: w.name, Path: path, Args: command.Args, Env: env, Dir: dir,
		Log:   filepath.Join(s.options.Dir, "logs", w.name+".log"),
		Ready: s.ready(w),
	}, nil
}

// folder is a workload's home, with its mounts.
func (s *Stack) folder(w workload) string { return filepath.Join(s.options.Dir, w.name) }

// ready asks what the chart's readiness probe asks.
func (s *Stack) ready(w workload) func(context.Context) error {
	for _, port := range w.container().Ports {
		if port.Name == "healthz" {
			return cluster.HTTPReady(nil, fmt.Sprintf("http://127.0.0.1:%d/readyz", w.ports[port.ContainerPort]))
		}
	}
	for _, port := range w.container().Ports {
		return cluster.TCPReady(fmt.Sprintf("127.0.0.1:%d", w.ports[port.ContainerPort]))
	}
	return nil
}

func (s *Stack) secret(ctx context.Context) func(name, key string) (string, error) {
	return func(name, key string) (string, error) {
		secret, err := s.clients.CoreV1().Secrets(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return string(secret.Data[key]), nil
	}
}

// Process is a running workload by its name in the chart (source-controller, …, NATS), to be killed or restarted.
func (s *Stack) Process(name string) *cluster.Process { return s.processes[name] }

// Address is the local host:port of a Service of the chart, by name and port; empty when there is none.
func (s *Stack) Address(service string, port int) string {
	if local, ok := s.services[fmt.Sprintf("%s:%d", service, port)]; ok {
		return fmt.Sprintf("127.0.0.1:%d", local)
	}
	return ""
}

// Names are the workloads, in the order in which they start.
func (s *Stack) Names() []string {
	names := make([]string, 0, len(s.workloads))
	for _, w := range s.workloads {
		names = append(names, w.name)
	}
	return names
}

// MetricsAddress is the local host:port of a controller's metrics.
func (s *Stack) MetricsAddress(name string) string { return s.portAddress(name, "http-prom") }

// HealthAddress is the local host:port of a controller's probes.
func (s *Stack) HealthAddress(name string) string { return s.portAddress(name, "healthz") }

// portAddress is the local host:port of a workload's container port; empty when there is none of that name.
func (s *Stack) portAddress(workload, port string) string {
	for _, w := range s.workloads {
		for _, declared := range w.container().Ports {
			if w.name == workload && declared.Name == port {
				return fmt.Sprintf("127.0.0.1:%d", w.ports[declared.ContainerPort])
			}
		}
	}
	return ""
}

// Mount is the local folder that a workload has at a mount path; empty when there is none.
func (s *Stack) Mount(workload, path string) string {
	for _, w := range s.workloads {
		for _, m := range w.container().VolumeMounts {
			if w.name == workload && m.MountPath == path {
				return mountFolder(s.folder(w), m)
			}
		}
	}
	return ""
}

// Logs is the folder with a log per workload.
func (s *Stack) Logs() string { return filepath.Join(s.options.Dir, "logs") }

// Stop stops the controllers, then NATS.
func (s *Stack) Stop() {
	for i := len(s.workloads) - 1; i >= 0; i-- {
		if p := s.processes[s.workloads[i].name]; p != nil {
			p.Stop()
		}
	}
}
