package apply

import (
	"context"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
)

// settle waits until what a stage has written can be used by the next: kinds are established and served, namespaces are
// active, classes are accepted. Objects that were not written are not looked at, and most are settled as soon as they are
// written.
func (r *run) settle(ctx context.Context, name string, steps []step) error {
	for _, s := range steps {
		if s.applied != nil && utils.IsCRD(s.desired) {
			gk, _ := definedKind(s.desired)
			r.kinds.define(gk)
		}
	}
	deadline, cancel := context.WithTimeout(ctx, r.options.stageTimeout())
	defer cancel()
	err := r.each(ctx, len(steps), func(_ context.Context, i int) {
		if s := &steps[i]; s.applied != nil && !r.usable(s.applied) {
			s.failure = r.waitUsable(deadline, s.item)
		}
	})
	if err != nil {
		return err
	}
	return failures(name, true, steps)
}

// waitUsable looks at an object until it is usable or the deadline is over.
func (r *run) waitUsable(deadline context.Context, it item) *Failure {
	var failure *Failure
	again := wait.Backoff{Duration: pollFirst, Factor: 1.5, Steps: 10, Cap: time.Second}
	err := again.DelayFunc().Until(deadline, true, true, func(ctx context.Context) (bool, error) {
		var live *unstructured.Unstructured
		live, failure = r.read(ctx, it)
		return failure != nil || live != nil && r.usable(live), nil
	})
	if failure == nil && err != nil {
		failure = failed(it, "was applied, but cannot be used after %s", r.options.stageTimeout().Round(time.Second))
	}
	return failure
}

// usable says that an object is as far as the next stage needs it.
func (r *run) usable(live *unstructured.Unstructured) bool {
	result, err := status.Compute(live)
	if err != nil || result.Status != status.CurrentStatus {
		return false
	}
	return !utils.IsCRD(live) || r.served(live)
}

// served says that every version that the definition serves has become known to the mapper.
func (r *run) served(crd *unstructured.Unstructured) bool {
	gk, _ := definedKind(crd)
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _, _ := unstructured.NestedString(version, "name")
		if serves, _, _ := unstructured.NestedBool(version, "served"); serves && !r.knows(gk, name) {
			return false
		}
	}
	return true
}

func (r *run) knows(gk schema.GroupKind, version string) bool {
	_, err := r.Client.RESTMapper().RESTMapping(gk, version)
	return err == nil
}
