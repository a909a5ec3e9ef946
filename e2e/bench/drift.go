package bench

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const (
	driftRounds = 10
	healLimit   = 30 * time.Second
)

// drift takes the time from kubectl scale, which writes through the scale subresource, until the Deployment has no
// replicas again. Each round takes another application, so that nothing looks like a fight.
func (r *runner) drift(ctx context.Context) error {
	rounds := min(driftRounds, r.Apps)
	r.say("scaled by hand, %d times", rounds)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	objects, err := follow(ctx, r.dynamic, deployments)
	if err != nil {
		return err
	}
	var healed []time.Duration
	err = r.rounds(ctx, phaseDrift, rounds, func(round int) error {
		took, err := r.scale(ctx, objects, appName(round*r.Apps/rounds))
		if err != nil {
			return err
		}
		healed = append(healed, took)
		r.tell("   healed in %s", duration(took))
		return nil
	})
	r.report.Heal = spreadOf(healed)
	return err
}

func (r *runner) scale(ctx context.Context, objects *follower, name string) (time.Duration, error) {
	deployment := objects.get(name)
	if deployment == nil {
		return 0, fmt.Errorf("there is no deployment/%s", name)
	}
	twice := deployment.GetGeneration() + 2 // scaled, and scaled back
	healed := objects.expect("Deployments are healed", []string{name}, func(o *unstructured.Unstructured) bool {
		replicas, _, err := unstructured.NestedInt64(o.Object, "spec", "replicas")
		return err == nil && replicas == 0 && o.GetGeneration() >= twice
	})
	begin := time.Now()
	patch := []byte(`{"spec":{"replicas":3}}`)
	_, err := r.clients.AppsV1().Deployments(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl"}, "scale")
	if err != nil {
		return 0, fmt.Errorf("scale deployment/%s: %w", name, err)
	}
	end, err := objects.wait(ctx, healed, healLimit, r.tell)
	if err != nil {
		return 0, fmt.Errorf("%w\n  its Kustomization: %s", err, complaint(r.apps.get(name)))
	}
	return end.Sub(begin), nil
}
