package bench

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/e2e/cluster/gitserver"
)

const commitRounds = 5

// change takes the time from a request to look at the repository, which has a commit that changes one ConfigMap, until
// that ConfigMap is changed in the cluster, and until all applications report the commit.
func (r *runner) change(ctx context.Context) error {
	r.say("a commit that changes one application, %d times", commitRounds)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	objects, err := follow(ctx, r.dynamic, configMaps, namespace)
	if err != nil {
		return err
	}
	var one, all []time.Duration
	err = r.measure(ctx, phaseChange, commitRounds, func() error {
		for round := range commitRounds {
			name, note := appName(round*r.Apps/commitRounds), fmt.Sprintf("version %d", round)
			files, err := appFiles(name, note)
			if err != nil {
				return err
			}
			changed := objects.expect("ConfigMaps are changed", []string{name}, func(o *unstructured.Unstructured) bool {
				found, _, err := unstructured.NestedString(o.Object, "data", "note")
				return err == nil && found == note
			})
			begin, reported, err := r.commit(ctx, files)
			if err != nil {
				return err
			}
			end, err := objects.wait(ctx, changed, r.limit(), r.Out)
			if err != nil {
				return fmt.Errorf("%w\n  its Kustomization: %s", err, complaint(r.apps.get(name)))
			}
			one = append(one, end.Sub(begin))
			if end, err = r.apps.wait(ctx, reported, r.limit(), r.Out); err != nil {
				return err
			}
			all = append(all, end.Sub(begin))
			fmt.Fprintf(r.Out, "   its object changed in %s, all %d report the commit in %s\n", duration(one[round]), r.Apps, duration(all[round]))
			if _, err := r.meter.settle(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	r.report.ChangeOne, r.report.ChangeAll = spreadOf(one), spreadOf(all)
	return err
}

// move takes the time until all applications report a commit that concerns none of them.
func (r *runner) move(ctx context.Context) error {
	r.say("a commit that changes no application, %d times", commitRounds)
	var all []time.Duration
	err := r.measure(ctx, phaseMove, commitRounds, func() error {
		for round := range commitRounds {
			readme := fmt.Sprintf("Edition %d.\n", round)
			begin, reported, err := r.commit(ctx, map[string]*string{"README.md": &readme})
			if err != nil {
				return err
			}
			end, err := r.apps.wait(ctx, reported, r.limit(), r.Out)
			if err != nil {
				return err
			}
			all = append(all, end.Sub(begin))
			fmt.Fprintf(r.Out, "   all %d report the commit in %s\n", r.Apps, duration(all[round]))
			if _, err := r.meter.settle(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	r.report.MoveAll = spreadOf(all)
	return err
}

// commit pushes files and has the source look, which is the beginning of what it returns.
func (r *runner) commit(ctx context.Context, files map[string]*string) (time.Time, *goal, error) {
	id, err := r.repo.Commit(ctx, "another version", files, gitserver.CommitOptions{})
	if err != nil {
		return time.Time{}, nil, err
	}
	reported := r.apps.expect("Kustomizations report the commit", appNames(r.Apps), applied(id))
	begin := time.Now()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, begin.Format(time.RFC3339Nano))
	_, err = r.dynamic.Resource(gitRepositories).Namespace(namespace).Patch(ctx, repository, types.MergePatchType, patch, metav1.PatchOptions{})
	return begin, reported, err
}
