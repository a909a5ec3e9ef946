package cluster

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
)

// The names of the processes, in the order in which they start.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kwok              = "kwok"
)

const (
	serviceCIDR    = "10.96.0.0/16"
	firstServiceIP = "10.96.0.1" // the ClusterIP of service kubernetes
	podCIDR        = "10.244.0.0/16"
	issuer         = "https://kubernetes.default.svc.cluster.local"
)

// layout is where everything of one cluster is: files, ports, identities.
type layout struct {
	bin  string // folder of the programs
	dir  string // folder of all state
	pki  *pki
	http *http.Client // trusts pki, speaks as admin

	audit bool // Options.Audit

	etcdPort, etcdPeerPort, apiPort, managerPort, schedulerPort int
}

func (l *layout) apiURL() string { return "https://127.0.0.1:" + strconv.Itoa(l.apiPort) }

func (l *layout) kubeconfig(user string) string {
	return filepath.Join(l.dir, "kubeconfigs", user)
}

func (l *layout) spec(name string, ready string, args ...string) Spec {
	return Spec{
		Name:  name,
		Path:  filepath.Join(l.bin, name),
		Args:  args,
		Dir:   l.dir,
		Log:   filepath.Join(l.dir, "logs", name+".log"),
		Ready: HTTPReady(l.http, ready),
	}
}

func (l *layout) etcd() Spec {
	client := fmt.Sprintf("http://127.0.0.1:%d", l.etcdPort)
	peer := fmt.Sprintf("http://127.0.0.1:%d", l.etcdPeerPort)
	return l.spec(Etcd, client+"/readyz",
		"--name=default",
		"--data-dir="+filepath.Join(l.dir, "etcd"),
		"--listen-client-urls="+client,
		"--advertise-client-urls="+client,
		"--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer,
		"--initial-cluster=default="+peer,
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
}

// apiServer keeps the default admission chain (NamespaceLifecycle,
// ServiceAccount, LimitRanger, ResourceQuota, PodSecurity, the webhooks and
// both admission policies); that is what users' manifests meet in the field.
func (l *layout) apiServer() Spec {
	args := []string{
		"--etcd-servers=http://127.0.0.1:" + strconv.Itoa(l.etcdPort),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(l.apiPort),
		"--tls-cert-file=" + l.pki.certFile("serving"),
		"--tls-private-key-file=" + l.pki.keyFile("serving"),
		"--client-ca-file=" + l.pki.certFile("ca"),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + filepath.Join(l.pki.dir, "sa.pub"),
		"--service-account-signing-key-file=" + l.pki.keyFile("sa"),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--endpoint-reconciler-type=none", // a loopback address cannot be an endpoint
		"--allow-privileged",
		"--profiling=false",
	}
	return l.spec(APIServer, l.apiURL()+"/readyz", append(args, l.auditArgs()...)...)
}

func (l *layout) controllerManager() Spec {
	return l.spec(ControllerManager, l.healthz(l.managerPort),
		"--kubeconfig="+l.kubeconfig(ControllerManager),
		"--authentication-kubeconfig="+l.kubeconfig(ControllerManager),
		"--authorization-kubeconfig="+l.kubeconfig(ControllerManager),
		"--bind-address=127.0.0.1",
		"--secure-port="+strconv.Itoa(l.managerPort),
		"--tls-cert-file="+l.pki.certFile("serving"),
		"--tls-private-key-file="+l.pki.keyFile("serving"),
		"--service-account-private-key-file="+l.pki.keyFile("sa"),
		"--root-ca-file="+l.pki.certFile("ca"),
		"--cluster-signing-cert-file="+l.pki.certFile("ca"),
		"--cluster-signing-key-file="+l.pki.keyFile("ca"),
		"--use-service-account-credentials",
		"--leader-elect=false",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	)
}

func (l *layout) scheduler() Spec {
	return l.spec(Scheduler, l.healthz(l.schedulerPort),
		"--config="+filepath.Join(l.dir, "scheduler.yaml"),
		"--authentication-kubeconfig="+l.kubeconfig(Scheduler),
		"--authorization-kubeconfig="+l.kubeconfig(Scheduler),
		"--bind-address=127.0.0.1",
		"--secure-port="+strconv.Itoa(l.schedulerPort),
		"--tls-cert-file="+l.pki.certFile("serving"),
		"--tls-private-key-file="+l.pki.keyFile("serving"),
	)
}

// schedulerConfig raises the client's rate limit, for which there is no flag.
func (l *layout) schedulerConfig() string {
	return fmt.Sprintf(`apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: %q, qps: 500, burst: 1000}
`, l.kubeconfig(Scheduler))
}

// kwok plays the kubelets. It has no port: it is up when the nodes are ready,
// which Start waits for.
func (l *layout) kwok() Spec {
	spec := l.spec(Kwok, "",
		"--kubeconfig="+l.kubeconfig(Kwok),
		"--config="+filepath.Join(l.dir, "stages.yaml"),
		"--manage-all-nodes",
		"--node-ip=127.0.0.1",
		"--cidr="+podCIDR,
		"--node-lease-duration-seconds=40",
	)
	spec.Ready = nil
	return spec
}

func (l *layout) healthz(port int) string {
	return fmt.Sprintf("https://127.0.0.1:%d/healthz", port)
}
