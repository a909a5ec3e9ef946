package storage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	helmaction "helm.sh/helm/v3/pkg/action"
	helmstorage "helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

var web = Ref{Name: "web", Namespace: "apps", StorageNamespace: "team"}

type world struct {
	t       *testing.T
	client  *fake.Clientset
	storage Storage
}

func newWorld(t *testing.T) world {
	client := fake.NewClientset()
	return world{t: t, client: client, storage: Storage{Secrets: client.CoreV1(), Now: ticker()}}
}

// history is what Helm's own storage says of the release: version, status and description, the oldest first.
func (w world) history() []string {
	w.t.Helper()
	config := &helmaction.Configuration{
		Releases: helmstorage.Init(driver.NewSecrets(w.client.CoreV1().Secrets(web.StorageNamespace))),
		Log:      func(string, ...any) {},
	}
	records, err := config.Releases.History(web.Name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []string
	for _, r := range records {
		lines = append(lines, fmt.Sprintf("%d %s %s: %s", r.Version, r.Info.Status, r.Chart.Metadata.Version, r.Info.Description))
	}
	return lines
}

func (w world) want(lines ...string) {
	w.t.Helper()
	if diff := cmp.Diff(lines, w.history()); diff != "" {
		w.t.Fatalf("Helm's history (-want +got):\n%s", diff)
	}
}

// release takes a chart version through to deployed, as sync-controller does.
func (w world) release(version string, config map[string]any, maxHistory int) *Release {
	w.t.Helper()
	pending := w.begin(version, config)
	deployed, err := w.storage.Deploy(w.t.Context(), web, pending, maxHistory)
	if err != nil {
		w.t.Fatal(err)
	}
	return deployed
}

func (w world) begin(version string, config map[string]any) *Release {
	w.t.Helper()
	pending, err := w.storage.Begin(w.t.Context(), web, rendered(w.t, version, config), w.latest())
	if err != nil {
		w.t.Fatal(err)
	}
	return pending
}

func (w world) latest() *Release {
	w.t.Helper()
	latest, err := w.storage.Latest(w.t.Context(), web)
	if err != nil {
		w.t.Fatal(err)
	}
	return latest
}

func TestLifeOfARelease(t *testing.T) {
	w := newWorld(t)
	if latest := w.latest(); latest != nil {
		t.Fatalf("got %s, want no release", latest.FullName())
	}
	w.begin("1.0.0", nil)
	w.want("1 pending-install 1.0.0: Initial install underway")
	if _, err := w.storage.Deploy(t.Context(), web, w.latest(), 5); err != nil {
		t.Fatal(err)
	}
	w.want("1 deployed 1.0.0: Install complete")

	second := w.begin("1.1.0", map[string]any{"replicas": float64(2)})
	w.want("1 deployed 1.0.0: Install complete", "2 pending-upgrade 1.1.0: Preparing upgrade")
	deployed, err := w.storage.Deploy(t.Context(), web, second, 5)
	if err != nil {
		t.Fatal(err)
	}
	w.want("1 superseded 1.0.0: Install complete", "2 deployed 1.1.0: Upgrade complete")
	first, last := deployed.record.Info.FirstDeployed, deployed.record.Info.LastDeployed
	if !first.Before(last) {
		t.Errorf("first deployed %s is not before last deployed %s", first, last)
	}

	third := w.begin("1.2.0", nil)
	if _, err := w.storage.Fail(t.Context(), web, third, "Deployment/apps/web: no", 5); err != nil {
		t.Fatal(err)
	}
	w.want("1 superseded 1.0.0: Install complete", "2 deployed 1.1.0: Upgrade complete",
		`3 failed 1.2.0: Upgrade "web" failed: Deployment/apps/web: no`)
}

func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	w := newWorld(t)
	written := w.release("1.0.0", map[string]any{"replicas": float64(2), "list": []any{"a", map[string]any{"b": nil}}}, 5)
	read := w.latest()
	if diff := cmp.Diff(written.Snapshot("install", ""), read.Snapshot("install", "")); diff != "" {
		t.Errorf("snapshot of the written and the read record differ (-written +read):\n%s", diff)
	}
	if !read.Facts().Recorded {
		t.Error("the record is not recognised as written by Sluice")
	}
	read.record.Info.Description = "edited"
	if read.Facts().Recorded {
		t.Error("an edited record is taken for our own")
	}
}

func TestMaxHistory(t *testing.T) {
	w := newWorld(t)
	for _, version := range []string{"1.0.0", "1.0.1", "1.0.2", "1.0.3"} {
		w.release(version, nil, 3)
	}
	w.want("2 superseded 1.0.1: Upgrade complete", "3 superseded 1.0.2: Upgrade complete", "4 deployed 1.0.3: Upgrade complete")
	for range 3 { // failures must not push out what is deployed
		if _, err := w.storage.Fail(t.Context(), web, w.begin("2.0.0", nil), "no", 2); err != nil {
			t.Fatal(err)
		}
	}
	w.want("4 deployed 1.0.3: Upgrade complete", `7 failed 2.0.0: Upgrade "web" failed: no`)
	if _, err := w.storage.Fail(t.Context(), web, w.begin("2.0.0", nil), "no", 1); err != nil {
		t.Fatal(err)
	}
	w.want("4 deployed 1.0.3: Upgrade complete", `8 failed 2.0.0: Upgrade "web" failed: no`)
	w.release("3.0.0", nil, 0)
	if got := len(w.history()); got != 3 {
		t.Errorf("got %d records, want all 3: maxHistory 0 is unlimited", got)
	}
	w.release("3.0.1", nil, 1)
	w.want("10 deployed 3.0.1: Upgrade complete")
}

func TestCrashLeavesARelease(t *testing.T) {
	w := newWorld(t)
	w.begin("1.0.0", nil) // and the process is gone
	stale := w.latest()
	if status := stale.Facts().Status; !status.Pending() {
		t.Fatalf("what a crash left is %s, want it pending: package release unlocks that", status)
	}
	unlocked, err := w.storage.Unlock(t.Context(), web, stale)
	if err != nil {
		t.Fatal(err)
	}
	w.want("1 failed 1.0.0: Release unlocked from stale 'pending-install' state")
	if again, err := w.storage.Unlock(t.Context(), web, unlocked); err != nil || again != unlocked {
		t.Errorf("unlocking twice: got %v, %v; want nothing to happen", again, err)
	}
	w.release("1.0.0", nil, 5)
	w.want("1 failed 1.0.0: Release unlocked from stale 'pending-install' state", "2 deployed 1.0.0: Upgrade complete")
}

func TestSomebodyElseRecords(t *testing.T) {
	w := newWorld(t)
	before := w.latest()
	w.begin("1.0.0", nil)
	_, err := w.storage.Begin(t.Context(), web, rendered(t, "1.0.0", nil), before)
	if !errors.Is(err, ErrRecordExists) {
		t.Fatalf("got %v, want %v", err, ErrRecordExists)
	}
}

func TestUninstall(t *testing.T) {
	for name, keep := range map[string]bool{"purged": false, "kept": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.release("1.0.0", nil, 5)
			w.release("1.1.0", nil, 5)
			if _, err := w.storage.BeginUninstall(t.Context(), web, w.latest()); err != nil {
				t.Fatal(err)
			}
			w.want("1 superseded 1.0.0: Install complete", "2 uninstalling 1.1.0: Deletion in progress (or silently failed)")
			gone, err := w.storage.Uninstall(t.Context(), web, keep)
			if err != nil {
				t.Fatal(err)
			}
			if s := gone.Snapshot("uninstall", ""); s.Status != "uninstalled" || s.Deleted.IsZero() {
				t.Errorf("got %+v, want an uninstalled release with a time", s)
			}
			if !keep {
				w.want()
				if again, err := w.storage.Uninstall(t.Context(), web, keep); again != nil || err != nil {
					t.Errorf("uninstalling twice: got %v, %v; want nothing", again, err)
				}
				return
			}
			w.want("1 superseded 1.0.0: Install complete", "2 uninstalled 1.1.0: Uninstallation complete")
			if got := Next(w.latest()); got.Revision != 3 || !got.IsInstall {
				t.Errorf("got next %+v, want an install as revision 3", got)
			}
			w.release("1.2.0", nil, 5)
			w.want("1 superseded 1.0.0: Install complete", "2 uninstalled 1.1.0: Uninstallation complete", "3 deployed 1.2.0: Install complete")
		})
	}
}

func TestUserLabelsStay(t *testing.T) {
	w := newWorld(t)
	deployed := w.release("1.0.0", nil, 5)
	deployed.record.Labels["team"] = "shop" // as `helm upgrade --labels` does
	if _, err := w.storage.update(t.Context(), web, deployed.with(StatusDeployed, "Upgrade complete")); err != nil {
		t.Fatal(err)
	}
	w.release("1.1.0", nil, 5)
	secret, err := w.client.CoreV1().Secrets("team").Get(t.Context(), "sh.helm.release.v1.web.v2", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if secret.Labels["team"] != "shop" || secret.Labels["owner"] != "helm" || secret.Labels["status"] != "deployed" {
		t.Errorf("got labels %v, want the user's and Helm's", secret.Labels)
	}
}

func TestRecordsThatAreNone(t *testing.T) {
	tests := map[string]struct{ payload, want string }{
		"not base64": {"%%%", "not base64"},
		"not gzip":   {"H4sIAAAA", "not gzip"},
		"not JSON":   {"e30x", "1 of 1 records hold no Helm release"},
		"no info":    {"e30=", "1 of 1 records hold no Helm release"},
		"empty":      {"", "1 of 1 records hold no Helm release"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put("web", tt.payload)
			_, err := w.storage.Latest(t.Context(), web)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "delete") {
				t.Errorf("got %v, want %q and what to do", err, tt.want)
			}
		})
	}
}

func (w world) put(name, payload string) {
	w.t.Helper()
	_, err := w.client.CoreV1().Secrets("team").Create(w.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: "sh.helm.release.v1." + name + ".v1", Labels: map[string]string{"owner": "helm", "name": name, "version": "1"},
		},
		Data: map[string][]byte{"release": []byte(payload)},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestRecordTooLarge(t *testing.T) {
	w := newWorld(t)
	r := rendered(t, "1.0.0", nil)
	noise := make([]byte, maxRecord)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	r.record.Manifest = hex.EncodeToString(noise)
	_, err := w.storage.Begin(t.Context(), web, r, nil)
	if err == nil || !strings.Contains(err.Error(), ".helmignore") {
		t.Errorf("got %v, want to be told how to make it smaller", err)
	}
}

func TestContextReachesTheServer(t *testing.T) {
	w := newWorld(t)
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("shutting down"))
	b := w.storage.open(stopped, web)
	w.client.PrependReactor("*", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, context.Cause(b.ctx)
	})
	if _, err := b.List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("a stopped context still lists")
	}
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte("e30="))
	f.Add([]byte("H4sIAAAAAAAA/w=="))
	f.Add([]byte(`{"info":null}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		w := newWorld(t)
		w.put("web", string(payload))
		latest, err := w.storage.Latest(t.Context(), web)
		if err != nil || latest == nil {
			return
		}
		latest.Facts()
		latest.Snapshot("", "")
		_, _ = latest.Objects()
	})
}

// TestRefusalsAreRedacted: an admission webhook repeats the record that it refuses, and a record holds everything.
func TestRefusalsAreRedacted(t *testing.T) {
	const canary = "H4sIAAAACANARY"
	w := newWorld(t)
	pending := w.begin("1.0.0", nil)
	for _, verb := range []string{"list", "update", "create"} {
		w.client.PrependReactor(verb, "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(corev1.Resource("secrets"), "x", errors.New("denied: "+canary))
		})
	}
	errs := map[string]error{}
	_, errs["latest"] = w.storage.Latest(t.Context(), web)
	_, errs["unlock"] = w.storage.Unlock(t.Context(), web, pending)
	_, errs["begin"] = w.storage.Begin(t.Context(), web, rendered(t, "1.0.0", nil), pending)
	for name, err := range errs {
		if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
