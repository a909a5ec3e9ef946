package apply

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

// Installed says whether every kind of the set is served, or defined by the set itself. It applies nothing: whoever records an
// apply before it begins asks first, so that what only came too early leaves no trace. The error is an [*Error] that names
// every object whose kind is not there, unless the API server did not say.
//
// It costs a request per API version that Kubernetes does not ship, because what is remembered of those may be over.
func (a *Applier) Installed(ctx context.Context, set Set) error {
	defined := make(map[schema.GroupKind]bool)
	for _, it := range set.items {
		if utils.IsCRD(it.desired) {
			gk, _ := definedKind(it.desired)
			defined[gk] = true
		}
	}
	known := make(map[schema.GroupVersionKind]bool)
	var failures []Failure
	for _, it := range set.items {
		gvk := it.entry.Kind()
		if defined[gvk.GroupKind()] {
			continue
		}
		serves, asked := known[gvk]
		if !asked {
			var err error
			if serves, err = a.serves(ctx, gvk); err != nil {
				return fmt.Errorf("ask whether %s is served: %w", gvk, err)
			}
			known[gvk] = serves
		}
		if !serves {
			failures = append(failures, *unknownKind(it))
		}
	}
	if len(failures) > 0 {
		return &Error{Stage: stagePreparation, Failures: failures}
	}
	return nil
}

func (a *Applier) serves(ctx context.Context, gvk schema.GroupVersionKind) (bool, error) {
	_, err := a.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	switch {
	case meta.IsNoMatchError(err):
		return false, nil
	case err != nil:
		return false, err
	case shipped(gvk.Group):
		return true, nil
	}
	return kinds.Serves(ctx, a.Client.RESTMapper(), gvk)
}

// shipped says whether an API group comes with Kubernetes, and so does not go away while the API server runs.
func shipped(group string) bool {
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
}
