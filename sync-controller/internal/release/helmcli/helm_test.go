// Package helmcli proves against a real API server, with Helm's own command, that what Sluice records is what Helm reads,
// and the other way round. It holds nothing but that test.
package helmcli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

const renderedV1 = `{"name":"web","namespace":"apps","config":{"replicas":2},"info":{"notes":"hello"},
"chart":{"metadata":{"apiVersion":"v2","name":"web","version":"1.0.0","appVersion":"7.1"}},
"manifest":"---\n# Source: web/templates/config.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n"}`

var apps = storage.Ref{Name: "web", Namespace: "apps", StorageNamespace: "apps"}

func TestHelmReadsWhatSluiceRecords(t *testing.T) {
	cluster := start(t)
	records := storage.Storage{Secrets: cluster.core, Now: time.Now}
	ctx := t.Context()

	put(t, records, renderedV1, false)
	put(t, records, strings.ReplaceAll(renderedV1, "1.0.0", "1.1.0"), false)
	put(t, records, strings.ReplaceAll(renderedV1, "1.0.0", "1.2.0"), true)

	var history []struct {
		Revision    int    `json:"revision"`
		Status      string `json:"status"`
		Chart       string `json:"chart"`
		AppVersion  string `json:"app_version"`
		Description string `json:"description"`
	}
	cluster.helmJSON(t, &history, "history", "web")
	var lines []string
	for _, h := range history {
		lines = append(lines, h.Status+" "+h.Chart+" "+h.AppVersion+" "+h.Description)
	}
	if diff := cmp.Diff([]string{
		"superseded web-1.0.0 7.1 Install complete",
		"deployed web-1.1.0 7.1 Upgrade complete",
		`failed web-1.2.0 7.1 Upgrade "web" failed: Deployment/apps/web is not ready`,
	}, lines); diff != "" {
		t.Errorf("helm history (-want +got):\n%s", diff)
	}

	var list []struct{ Name, Namespace, Revision, Status, Chart string }
	cluster.helmJSON(t, &list, "list", "--all")
	if len(list) != 1 || list[0].Name != "web" || list[0].Namespace != "apps" || list[0].Revision != "3" || list[0].Chart != "web-1.2.0" {
		t.Errorf("helm list: got %+v, want web as revision 3", list)
	}
	var values map[string]any
	cluster.helmJSON(t, &values, "get", "values", "web")
	if diff := cmp.Diff(map[string]any{"replicas": float64(2)}, values); diff != "" {
		t.Errorf("helm get values (-want +got):\n%s", diff)
	}
	if got := cluster.helm(t, "get", "manifest", "web"); !strings.Contains(got, "# Source: web/templates/config.yaml\napiVersion: v1") {
		t.Errorf("helm get manifest: got %q", got)
	}
	if got := cluster.helm(t, "get", "notes", "web"); !strings.Contains(got, "hello") {
		t.Errorf("helm get notes: got %q", got)
	}

	if _, err := records.Uninstall(ctx, apps, false); err != nil {
		t.Fatal(err)
	}
	left, err := cluster.core.Secrets("apps").List(ctx, metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil || len(left.Items) != 0 {
		t.Errorf("got %d records left after the uninstallation (%v), want none", len(left.Items), err)
	}
}

// Sluice reads what Helm's command recorded, and takes its edits for somebody else's.
func TestSluiceReadsWhatHelmRecords(t *testing.T) {
	cluster := start(t)
	chart := t.TempDir()
	write(t, filepath.Join(chart, "Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.0.0\n")
	write(t, filepath.Join(chart, "templates", "config.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n")
	cluster.helm(t, "install", "web", chart, "--set", "replicas=2")

	records := storage.Storage{Secrets: cluster.core, Now: time.Now}
	latest, err := records.Latest(t.Context(), apps)
	if err != nil || latest == nil {
		t.Fatalf("got %v, %v; want Helm's release", latest, err)
	}
	facts := latest.Facts()
	if facts.Recorded || facts.Status != storage.StatusDeployed || facts.ConfigDigest != storage.ConfigDigest(map[string]any{"replicas": 2}) {
		t.Errorf("got %+v, want a deployed release that is not ours", facts)
	}
	objects, err := latest.Objects()
	if err != nil || len(objects) != 1 || objects[0].GetName() != "web" {
		t.Errorf("got objects %v, %v; want ConfigMap web", objects, err)
	}

	put(t, records, renderedV1, false) // Sluice takes over
	if latest, err = records.Latest(t.Context(), apps); err != nil || !latest.Facts().Recorded {
		t.Fatalf("got %v; want our release", err)
	}
	cluster.helm(t, "rollback", "web", "1") // and somebody meddles
	if latest, err = records.Latest(t.Context(), apps); err != nil || latest.Version() != 3 || latest.Facts().Recorded {
		t.Errorf("got %v; want Helm's rollback as revision 3, not taken for ours", err)
	}
}

// put takes a rendering through to deployed or failed.
func put(t *testing.T, records storage.Storage, raw string, fails bool) {
	t.Helper()
	rendered, err := storage.Parse(json.RawMessage(raw))
	if err != nil {
		t.Fatal(err)
	}
	latest, err := records.Latest(t.Context(), apps)
	if err != nil {
		t.Fatal(err)
	}
	pending, err := records.Begin(t.Context(), apps, rendered, latest)
	if err != nil {
		t.Fatal(err)
	}
	if fails {
		_, err = records.Fail(t.Context(), apps, pending, "Deployment/apps/web is not ready", 5)
	} else {
		_, err = records.Deploy(t.Context(), apps, pending, 5)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type cluster struct {
	core       *corev1client.CoreV1Client
	kubeconfig string
}

// patience is how long the API server may take to start, and to stop, on a machine that does many other things.
const patience = 3 * time.Minute

// start runs an API server with a namespace apps.
func start(t *testing.T) cluster {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: it names the folder with etcd, kube-apiserver and helm")
	}
	env := &envtest.Environment{ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience}
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	apps := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "apps"}}
	if _, err := core.Namespaces().Create(t.Context(), apps, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	user, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	write(t, path, string(kubeconfig))
	return cluster{core: core, kubeconfig: path}
}

// helm runs Helm's own command and returns what it prints.
func (c cluster) helm(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "helm"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "HELM_NAMESPACE=apps", "HELM_CACHE_HOME="+t.TempDir())
	var failure bytes.Buffer
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, failure.String())
	}
	return string(out)
}

func (c cluster) helmJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.helm(t, append(args, "--output", "json")...)), into); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
