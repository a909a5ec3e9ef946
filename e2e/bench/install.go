package bench

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// install takes the time from the first request, as somebody makes it who applies a file with everything in it, until
// all applications are Ready.
func (r *runner) install(ctx context.Context) error {
	r.say("first install: %d applications of %d objects, one repository", r.Apps, objectsPerApp)
	return r.measure(ctx, phaseInstall, 1, func() error {
		goal := r.apps.expect("Kustomizations are Ready", appNames(r.Apps), ready)
		begin := time.Now()
		source := gitRepository(r.repo.URL)
		if _, err := r.dynamic.Resource(gitRepositories).Namespace(namespace).Create(ctx, source, metav1.CreateOptions{}); err != nil {
			return err
		}
		err := r.each(ctx, func(ctx context.Context, name string) error {
			_, err := r.dynamic.Resource(kustomizations).Namespace(namespace).Create(ctx, kustomization(name), metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return err
		}
		end, err := r.apps.wait(ctx, goal, r.limit(), r.tell)
		if err != nil {
			return fmt.Errorf("%w\n  the source: %s", err, r.sourceSays(ctx))
		}
		r.report.Install = spreadOf([]time.Duration{end.Sub(begin)})
		r.tell("   all %d Ready in %s", r.Apps, duration(end.Sub(begin)))
		return nil
	})
}

// sourceSays completes an error that the source may be to blame for.
func (r *runner) sourceSays(ctx context.Context) string {
	source, err := r.dynamic.Resource(gitRepositories).Namespace(namespace).Get(ctx, repository, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	return complaint(source)
}
