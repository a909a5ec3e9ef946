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
		if s := &steps[i]; s.applied != nil && r.missing(s.applied) != "" {
			s.failure = r.waitUsable(deadline, s.item)
		}
	})
	return join(err, failures(name, true, steps))
}

// waitUsable looks at an object until it is usable or the deadline is over.
func (r *run) waitUsable(deadline context.Context, it item) *Failure {
	var last string
	defer r.options.Progress.wait(it.entry.ID, "")
	again := wait.Backoff{Duration: pollFirst, Factor: 1.5, Steps: 10, Cap: time.Second}
	var failure *Failure
	err := again.DelayFunc().Until(deadline, true, true, func(ctx context.Context) (bool, error) {
		live, err := r.read(ctx, it)
		switch {
		case ctx.Err() != nil: // that is why it was not read
			return false, nil
		case err != nil:
			failure = err
		case live == nil:
			last = "somebody has deleted it"
		default:
			last = r.missing(live)
		}
		r.options.Progress.wait(it.entry.ID, last)
		return failure != nil || last == "", nil
	})
	if failure == nil && err != nil {
		failure = failed(it, "was applied, but what follows cannot use it yet: %s", last)
	}
	return failure
}

// missing says what keeps an object from being as far as the next stage needs it; empty when nothing does.
func (r *run) missing(live *unstructured.Unstructured) string {
	result, err := status.Compute(live)
	switch {
	case err != nil:
		return "its status cannot be read"
	case result.Status != status.CurrentStatus:
		return string(result.Status) + ": " + result.Message
	case utils.IsCRD(live) && !r.served(live):
		return "the API server does not serve it yet"
	}
	return ""
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
