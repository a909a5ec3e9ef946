package controller_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// advertise stores some files as the artifact of a bucket, as its controller does.
func advertise(t *testing.T, bucket *sourcev1.Bucket, revision string, files map[string]string) {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	file := path.Join("bucket", bucket.Namespace, bucket.Name, revision[7:]+".tar.gz")
	at := filepath.Join(shared.storage, filepath.FromSlash(file))
	if err := errors.Join(tw.Close(), zw.Close(), os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, out.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(out.Bytes())
	patch := client.MergeFrom(bucket.DeepCopy())
	bucket.Status.Artifact = &meta.Artifact{
		Path: file, URL: "http://bucket.invalid/" + file, Revision: revision, Digest: "sha256:" + hex.EncodeToString(sum[:]), LastUpdateTime: metav1.Now(),
	}
	if err := shared.Status().Patch(t.Context(), bucket, patch); err != nil {
		t.Fatal(err)
	}
}

func depending(name, version, repository string) string {
	return fmt.Sprintf("- name: %s\n  version: %q\n  repository: %q\n", name, version, repository)
}

// TestChartDependencies: those that a chart in Git misses come from where Chart.yaml says, with the credentials of the HelmRepository
// that has that address, and with none if there is no such.
func TestChartDependencies(t *testing.T) {
	t.Parallel()
	const password = "canary-of-a-dependency"
	open, closed := newHelmServer(t), newHelmServer(t)
	for _, version := range []string{"1.0.0", "1.1.0", "2.0.0"} {
		open.publish(t, "web", version, nil)
	}
	closed.publish(t, "db", "3.1.4", nil)
	closed.set(func() { closed.user, closed.password = "ada", password })
	registry := newChartRegistry(t, "", "")
	registry.push(t, "charts/cache", "0.5.0", packageChart(t, t.TempDir(), "cache", "0.5.0", nil), plan.ChartLayerMediaType)

	repo := gittest.New(t).Repo(t, "app")
	files := map[string]string{
		"charts/all/Chart.yaml": demoChart + "dependencies:\n" + depending("web", "1.x", open.URL) + depending("db", ">=3", closed.URL+"/") +
			depending("cache", "0.5.0", "oci://"+registry.host+"/charts") + depending("lib", "0.x", "file://../lib"),
		"charts/lib/Chart.yaml":    "apiVersion: v2\nname: lib\nversion: 0.1.0\n",
		"charts/alias/Chart.yaml":  demoChart + "dependencies:\n" + depending("web", "1.x", "@stable"),
		"charts/alias2/Chart.yaml": demoChart + "dependencies:\n" + depending("web", "1.x", "alias:stable"),
		"charts/range/Chart.yaml":  demoChart + "dependencies:\n" + depending("web", "9.x", open.URL),
		"charts/none/Chart.yaml":   demoChart + "dependencies:\n" + depending("absent", "9.x", open.URL),
		"charts/down/Chart.yaml":   demoChart + "dependencies:\n" + depending("web", "1.x", "http://127.0.0.1:1"),
		"charts/login/Chart.yaml":  demoChart + "dependencies:\n" + depending("db", "3.x", closed.URL+"/other"),
	}
	repo.Commit("add charts", files)
	source := create(t, repo.URL, nil)
	makeSecret(t, source.Namespace, "login", map[string]string{"username": "ada", "password": password})
	createRepository(t, closed.URL, func(o *sourcev1.HelmRepository) {
		o.Namespace, o.Name, o.Spec.SecretRef = source.Namespace, "closed", ref("login")
	})
	createRepository(t, "", func(o *sourcev1.HelmRepository) {
		inRegistry(registry.host)(o)
		o.Namespace, o.Name = source.Namespace, "registry"
	})
	obj := createChart(t, source, func(s *sourcev1.HelmChartSpec) { s.Chart = "charts/all" })
	until(t, obj, chartAt(obj, "1.2.3"))
	got := download(t, obj.Status.Artifact)
	for file, version := range map[string]string{
		"demo/charts/web/Chart.yaml": "1.1.0", "demo/charts/db/Chart.yaml": "3.1.4", "demo/charts/cache/Chart.yaml": "0.5.0", "demo/charts/lib/Chart.yaml": "0.1.0",
	} {
		if !strings.Contains(got[file], "version: "+version+"\n") {
			t.Errorf("%s is %q, want version %s", file, got[file], version)
		}
	}
	// A commit that changes no version fetches nothing.
	open.seen()
	repo.Commit("another file", map[string]string{"other": "1"})
	request(t, source)
	until(t, obj, func() error {
		if obj.Status.ObservedSourceArtifactRevision == source.Status.Artifact.Revision {
			return nil
		}
		return fmt.Errorf("looked at %s", obj.Status.ObservedSourceArtifactRevision)
	})
	if requests := open.seen(); requests != "" {
		t.Errorf("requests for a chart that is stored: %s", requests)
	}
	for chart, text := range map[string]string{
		"alias":  "its repository is an alias, which is known where it was added and nowhere else",
		"alias2": "its repository is an alias",
		"range":  `no version of chart "web" is "9.x"; the newest are 2.0.0, 1.1.0, 1.0.0`,
		"none":   `the index does not list chart "absent"`,
		"down":   "connection refused",
		"login":  "(HTTP 401); put a username and a password into the Secret of spec.secretRef",
	} {
		t.Run(chart, func(t *testing.T) {
			t.Parallel()
			obj := createChart(t, source, func(s *sourcev1.HelmChartSpec) { s.Chart = "charts/" + chart })
			until(t, obj, func() error {
				return hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "DependencyBuildError", text)
			})
			if err := hasCondition(obj, sourcev1.BuildFailedCondition, metav1.ConditionTrue, "DependencyBuildError", ""); err != nil {
				t.Error(err)
			}
		})
	}
}
