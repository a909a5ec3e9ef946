package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const floorRounds = 3

// floor takes the time that the API server needs for the same objects, applied by a client that does nothing else: what
// no controller can be faster than. Each round has a namespace of its own, and its requests are made beforehand.
func (r *runner) floor(ctx context.Context) error {
	r.say("bare server-side applies of the same %d objects, %d times", r.Apps*objectsPerApp, floorRounds)
	var took []time.Duration
	for round := range floorRounds {
		namespace := fmt.Sprintf("floor-%d", round)
		if err := r.createNamespace(ctx, namespace); err != nil {
			return err
		}
		bodies, err := bodiesOf(namespace, appNames(r.Apps))
		if err != nil {
			return err
		}
		begin := time.Now()
		if err := r.each(ctx, func(ctx context.Context, name string) error { return r.apply(ctx, namespace, name, bodies[name]) }); err != nil {
			return err
		}
		took = append(took, time.Since(begin))
		r.tell("   %s", duration(took[round]))
		if _, err := r.meter.settle(ctx); err != nil {
			return err
		}
	}
	r.report.Floor = spreadOf(took)
	return nil
}

// bodiesOf are the requests' bodies by application, in the order of appObjects.
func bodiesOf(namespace string, names []string) (map[string][][]byte, error) {
	all := map[string][][]byte{}
	for _, name := range names {
		for _, o := range appObjects(namespace, name, "first version") {
			body, err := json.Marshal(o.fields)
			if err != nil {
				return nil, fmt.Errorf("write %s of %s: %w", o.file, name, err)
			}
			all[name] = append(all[name], body)
		}
	}
	return all, nil
}

func (r *runner) apply(ctx context.Context, namespace, name string, bodies [][]byte) error {
	force := true
	options := metav1.PatchOptions{FieldManager: "bench", Force: &force}
	for i, o := range appObjects(namespace, name, "") {
		if _, err := r.dynamic.Resource(o.resource).Namespace(namespace).Patch(ctx, name, types.ApplyPatchType, bodies[i], options); err != nil {
			return err
		}
	}
	return nil
}
