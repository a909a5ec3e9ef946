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
	objects, err := follow(ctx, r.dynamic, configMaps)
	if err != nil {
		return err
	}
	var changes, reports []time.Duration
	err = r.rounds(ctx, phaseChange, commitRounds, func(round int) error {
		name := appName(round * r.Apps / commitRounds)
		changed, reported, err := r.changeOne(ctx, objects, name, fmt.Sprintf("version %d", round))
		if err != nil {
			return err
		}
		changes, reports = append(changes, changed), append(reports, reported)
		r.tell("   its object changed in %s, all %d report the commit in %s", duration(changed), r.Apps, duration(reported))
		return nil
	})
	r.report.ChangeOne, r.report.ChangeAll = spreadOf(changes), spreadOf(reports)
	return err
}

// changeOne changes the ConfigMap of one application, and tells after which time it changed and all reported.
func (r *runner) changeOne(ctx context.Context, objects *follower, name, note string) (changed, reported time.Duration, err error) {
	files, err := appFiles(name, note)
	if err != nil {
		return 0, 0, err
	}
	object := objects.expect("ConfigMaps are changed", []string{name}, func(o *unstructured.Unstructured) bool {
		found, _, err := unstructured.NestedString(o.Object, "data", "note")
		return err == nil && found == note
	})
	begin, report, err := r.commit(ctx, files)
	if err != nil {
		return 0, 0, err
	}
	first, err := objects.wait(ctx, object, r.limit(), r.tell)
	if err != nil {
		return 0, 0, fmt.Errorf("%w\n  its Kustomization: %s", err, complaint(r.apps.get(name)))
	}
	last, err := r.apps.wait(ctx, report, r.limit(), r.tell)
	return first.Sub(begin), last.Sub(begin), err
}

// move takes the time until all applications report a commit that concerns none of them.
func (r *runner) move(ctx context.Context) error {
	r.say("a commit that changes no application, %d times", commitRounds)
	var reports []time.Duration
	err := r.rounds(ctx, phaseMove, commitRounds, func(round int) error {
		readme := fmt.Sprintf("Edition %d.\n", round)
		begin, report, err := r.commit(ctx, map[string]*string{"README.md": &readme})
		if err != nil {
			return err
		}
		end, err := r.apps.wait(ctx, report, r.limit(), r.tell)
		if err != nil {
			return err
		}
		reports = append(reports, end.Sub(begin))
		r.tell("   all %d report the commit in %s", r.Apps, duration(end.Sub(begin)))
		return nil
	})
	r.report.MoveAll = spreadOf(reports)
	return err
}

// commit pushes files and has the source look at once, which is when the time begins that it returns.
func (r *runner) commit(ctx context.Context, files map[string]*string) (time.Time, *goal, error) {
	id, err := r.repo.Commit(ctx, "another version", files, gitserver.CommitOptions{})
	if err != nil {
		return time.Time{}, nil, err
	}
	report := r.apps.expect("Kustomizations report the commit", appNames(r.Apps), applied(id))
	begin := time.Now()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, begin.Format(time.RFC3339Nano))
	_, err = r.dynamic.Resource(gitRepositories).Namespace(namespace).Patch(ctx, repository, types.MergePatchType, patch, metav1.PatchOptions{})
	return begin, report, err
}
