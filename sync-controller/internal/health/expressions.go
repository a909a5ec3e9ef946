package health

import (
	"fmt"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Expressions are the user's health checks in CEL (spec.healthCheckExprs), compiled. Nil holds none. It is safe for
// concurrent use.
type Expressions struct {
	// byKind holds those for a whole group under an empty kind.
	byKind map[schema.GroupKind]*cel.StatusEvaluator
}

// Compile compiles health checks. The version of their apiVersion plays no role; one that names a kind comes before one
// that names only a group, and of two for the same the first counts. The error says which entry is wrong; Flux calls it
// InvalidCELExpression.
func Compile(checks []kustomize.CustomHealthCheck) (*Expressions, error) {
	exprs := &Expressions{byKind: make(map[schema.GroupKind]*cel.StatusEvaluator, len(checks))}
	for i, check := range checks {
		version, err := schema.ParseGroupVersion(check.APIVersion)
		if err != nil {
			return nil, fmt.Errorf("healthCheckExprs[%d].apiVersion: %w", i, err)
		}
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return nil, fmt.Errorf("healthCheckExprs[%d]: %w", i, err)
		}
		kind := schema.GroupKind{Group: version.Group, Kind: check.Kind}
		if _, found := exprs.byKind[kind]; !found {
			exprs.byKind[kind] = evaluator
		}
	}
	return exprs, nil
}

// find returns the check for a kind; nil without one.
func (e *Expressions) find(kind schema.GroupKind) *cel.StatusEvaluator {
	if e == nil {
		return nil
	}
	if evaluator, found := e.byKind[kind]; found {
		return evaluator
	}
	return e.byKind[schema.GroupKind{Group: kind.Group}]
}

// Covers says whether there is a check for the kind.
func (e *Expressions) Covers(kind schema.GroupKind) bool { return e.find(kind) != nil }
