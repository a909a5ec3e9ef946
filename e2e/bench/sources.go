package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kinds of sources, as the report calls them.
const (
	kindGit        = "GitRepository"
	kindOCI        = "OCIRepository"
	kindRepository = "HelmRepository"
	kindChart      = "HelmChart"
)

// pollInterval is that of every source here.
const pollInterval = 30 * time.Second

// sourcesLimit is how long all sources may take to be Ready.
const sourcesLimit = 5 * time.Minute

// population is how many sources there are of each kind, beside the one HelmRepository that all charts are from.
type population struct{ git, oci, charts int }

func few() population  { return population{git: 7, oci: 6, charts: 6} }
func many() population { return population{git: 300, oci: 100, charts: 100} }

func (p population) all() int { return p.git + p.oci + p.charts + 1 }

// polls is what sources of a kind have asked their upstreams for.
type polls struct {
	Kind           string
	Objects, Polls int
	Asked          map[string]int
}

// line is what was asked for, most often first.
func (p polls) line() string {
	var parts []string
	for _, what := range slices.SortedFunc(maps.Keys(p.Asked), func(a, b string) int { return p.Asked[b] - p.Asked[a] }) {
		parts = append(parts, fmt.Sprintf("%s %.2f", what, float64(p.Asked[what])/float64(p.Polls)))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// fewSources measures what source-controller holds with twenty sources, and takes them away again.
func (r *runner) fewSources(ctx context.Context) error {
	r.say("%d sources, nothing else", few().all())
	if err := r.fillUpstreams(ctx, many()); err != nil {
		return err
	}
	if err := r.createSources(ctx, few()); err != nil {
		return err
	}
	if err := r.measure(ctx, phaseFew, 1, func() error { return r.pause(ctx, pollInterval) }); err != nil {
		return err
	}
	return r.deleteSources(ctx)
}

// manySources measures what it costs that nothing is new.
func (r *runner) manySources(ctx context.Context) error {
	n := many()
	r.say("%d sources that poll every %s, and nothing is new for %s", n.all(), pollInterval, r.Idle)
	if err := r.createSources(ctx, n); err != nil {
		return err
	}
	var asked map[string]map[string]int
	err := r.measure(ctx, phasePolls, 1, func() error {
		begin := time.Now()
		err := r.pause(ctx, r.Idle)
		asked = r.asked(begin)
		return err
	})
	if err != nil {
		return err
	}
	for _, kind := range []polls{{Kind: kindGit, Objects: n.git}, {Kind: kindOCI, Objects: n.oci}, {Kind: kindRepository, Objects: 1}, {Kind: kindChart, Objects: n.charts}} {
		kind.Polls, kind.Asked = max(1, kind.Objects*int(r.Idle/pollInterval)), asked[kind.Kind]
		r.report.Polls = append(r.report.Polls, kind)
	}
	return r.deleteSources(ctx)
}

// sourceOf is a source, and where the API server takes it.
type sourceOf struct {
	resource schema.GroupVersionResource
	object   *unstructured.Unstructured
}

func sourceResource(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: plural}
}

// createSources has all of them there, and Ready. What is there already stays.
func (r *runner) createSources(ctx context.Context, n population) error {
	all := r.sources(n)
	goals := map[schema.GroupVersionResource][]string{}
	for _, s := range all {
		if _, err := r.dynamic.Resource(s.resource).Namespace(namespace).Create(ctx, s.object, metav1.CreateOptions{}); err != nil {
			return err
		}
		goals[s.resource] = append(goals[s.resource], s.object.GetName())
	}
	for resource, names := range goals {
		seen, err := follow(ctx, r.dynamic, resource)
		if err != nil {
			return err
		}
		if _, err := seen.wait(ctx, seen.expect(resource.Resource+" are Ready", names, ready), sourcesLimit, r.tell); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) sources(n population) []sourceOf {
	var all []sourceOf
	add := func(kind, plural, name string, spec fields) {
		spec["interval"] = pollInterval.String()
		all = append(all, sourceOf{sourceResource(plural), &unstructured.Unstructured{Object: fields{
			"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind,
			"metadata": fields{"name": name, "namespace": namespace}, "spec": spec,
		}}})
	}
	for i := range n.git {
		add(kindGit, "gitrepositories", fmt.Sprintf("git-%04d", i), fields{"url": r.World.Git.URL(gitName(i)), "ref": fields{"branch": "main"}})
	}
	for i := range n.oci {
		add(kindOCI, "ocirepositories", fmt.Sprintf("oci-%04d", i), fields{"url": "oci://" + r.World.Registry.Addr() + "/" + ociName(i), "insecure": true})
	}
	add(kindRepository, "helmrepositories", "stable", fields{"url": r.World.Charts.URL(chartRepository)})
	for i := range n.charts {
		add(kindChart, "helmcharts", chartName(i), fields{
			"chart": chartName(i), "version": "1.x", "sourceRef": fields{"kind": kindRepository, "name": "stable"},
		})
	}
	return all
}

// deleteSources takes them all away, and returns when they are gone.
func (r *runner) deleteSources(ctx context.Context) error {
	for _, plural := range []string{"helmcharts", "helmrepositories", "ocirepositories", "gitrepositories"} {
		client := r.dynamic.Resource(sourceResource(plural)).Namespace(namespace)
		options := metav1.ListOptions{FieldSelector: "metadata.name!=" + repository}
		if err := client.DeleteCollection(ctx, metav1.DeleteOptions{}, options); err != nil {
			return err
		}
		for begin := time.Now(); ; {
			left, err := client.List(ctx, options)
			if err != nil {
				return err
			}
			if len(left.Items) == 0 {
				break
			}
			if time.Since(begin) > r.limit() {
				return fmt.Errorf("%d %s are still there %s after they were deleted", len(left.Items), plural, r.limit())
			}
			if err := r.pause(ctx, settlePause); err != nil {
				return err
			}
		}
	}
	return nil
}

// pause returns when the time is over.
func (r *runner) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
