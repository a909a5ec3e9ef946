package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-gitops/sluice/e2e/cluster/gitserver"
	"github.com/sluice-gitops/sluice/e2e/cluster/upstream"
)

// sourceFiles are what each repository and each artifact holds: as much as a small application has.
func sourceFiles(name string) map[string][]byte {
	files := map[string][]byte{}
	for _, o := range appObjects(namespace, name, "first version") {
		files[o.file] = fmt.Appendf(nil, "# %s\n%s", name, strings.Repeat("key: value\n", 50))
	}
	return files
}

// fillUpstreams puts something into each place that a source comes from. One repository is committed to; the others are copies.
func (r *runner) fillUpstreams(ctx context.Context, n population) error {
	files := map[string]*string{}
	for name, content := range sourceFiles("git") {
		text := string(content)
		files[name] = &text
	}
	first, err := r.World.Git.Repo(ctx, gitName(0))
	if err != nil {
		return err
	}
	if _, err := first.Commit(ctx, "first", files, gitserver.CommitOptions{}); err != nil {
		return err
	}
	for i := 1; i < n.git; i++ {
		if err := os.CopyFS(filepath.Join(filepath.Dir(first.Dir), filepath.Base(gitName(i))+".git"), os.DirFS(first.Dir)); err != nil {
			return fmt.Errorf("copy a repository: %w", err)
		}
	}
	for i := range n.oci {
		if _, err := r.World.Registry.Push(ctx, ociName(i)+":latest", sourceFiles(ociName(i)), nil); err != nil {
			return err
		}
	}
	return r.fillCharts(n)
}

// fillCharts serves a Helm repository with a chart for each HelmChart.
func (r *runner) fillCharts(n population) error {
	index := "apiVersion: v1\nentries:\n"
	for i := range n.charts {
		name := chartName(i)
		chart := fmt.Sprintf("apiVersion: v2\nname: %s\nversion: 1.0.0\n", name)
		packed, err := upstream.Pack(map[string][]byte{
			name + "/Chart.yaml":               []byte(chart),
			name + "/values.yaml":              []byte("replicas: 1\n"),
			name + "/templates/configmap.yaml": []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n"),
		})
		if err != nil {
			return err
		}
		file := name + "-1.0.0.tgz"
		r.World.Charts.Put(chartRepository, file, packed)
		index += fmt.Sprintf("  %s:\n  - apiVersion: v2\n    name: %s\n    version: 1.0.0\n    urls: [%s]\n", name, name, file)
	}
	index += "generated: " + time.Unix(0, 0).UTC().Format(time.RFC3339) + "\n"
	r.World.Charts.Put(chartRepository, "index.yaml", []byte(index))
	return nil
}

// Where they are in the upstreams.
const (
	sourcesFolder   = "bench-sources"
	chartRepository = sourcesFolder + "/stable"
)

func gitName(i int) string   { return fmt.Sprintf("%s/git-%04d", sourcesFolder, i) }
func ociName(i int) string   { return fmt.Sprintf("%s/oci-%04d", sourcesFolder, i) }
func chartName(i int) string { return fmt.Sprintf("chart-%04d", i) }

// asked counts what the upstreams were asked for since a time, by kind of source and of request.
func (r *runner) asked(since time.Time) map[string]map[string]int {
	counts := map[string]map[string]int{kindGit: {}, kindOCI: {}, kindRepository: {}, kindChart: {}}
	for _, request := range r.World.Git.Requests() {
		if !request.Time.Before(since) && strings.HasPrefix(request.Repo, sourcesFolder+"/") {
			counts[kindGit][string(request.Kind)]++
		}
	}
	for _, request := range r.World.Registry.Requests() {
		if !request.At.Before(since) {
			counts[kindOCI][strings.ToLower(request.Method)+" "+registryPart(request.Path)]++
		}
	}
	for _, request := range r.World.Charts.Requests() {
		kind := kindChart
		if strings.HasSuffix(request.Path, "/index.yaml") {
			kind = kindRepository
		}
		if !request.At.Before(since) {
			counts[kind][strings.ToLower(request.Method)]++
		}
	}
	return counts
}

// registryPart is what of a registry was asked for: manifests, blobs, tags, or the version of the API.
func registryPart(path string) string {
	for _, part := range []string{"manifests", "blobs", "tags"} {
		if strings.Contains(path, "/"+part+"/") {
			return part
		}
	}
	return "other"
}
