package dependency

import (
	"context"
	"fmt"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// maxExpression bounds a readyExpr, in bytes.
const maxExpression = 4 << 10

// Invalid says which readyExpr cannot be compiled; empty when all can.
func Invalid(refs []fluxmeta.DependencyReference) string {
	for i, ref := range refs {
		if ref.ReadyExpr == "" {
			continue
		}
		if _, err := compile(ref.ReadyExpr); err != nil {
			return fmt.Sprintf("spec.dependsOn[%d].readyExpr: %v", i, err)
		}
	}
	return ""
}

func compile(expr string) (*cel.Expression, error) {
	if len(expr) > maxExpression {
		return nil, fmt.Errorf("%d bytes are more than the %d it may have", len(expr), maxExpression)
	}
	return cel.NewExpression(expr, cel.WithCompile(), cel.WithStructVariables("self", "dep"))
}

// Expressions keeps the compiled readyExprs of one subject, by their text. The zero value is empty; empty it when the
// subject's generation changes.
type Expressions map[string]*cel.Expression

// evaluate runs a readyExpr over the subject and a dependency. It is compiled once.
func (x *Expressions) evaluate(ctx context.Context, expr string, self, dep subject.Object) (holds bool, trouble string) {
	e := (*x)[expr]
	if e == nil {
		compiled, err := compile(expr)
		if err != nil {
			return false, err.Error()
		}
		if *x == nil {
			*x = make(Expressions)
		}
		e, (*x)[expr] = compiled, compiled
	}
	data := make(map[string]any, 2)
	for name, o := range map[string]subject.Object{"self": self, "dep": dep} {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return false, err.Error()
		}
		data[name] = fields
	}
	holds, err := e.EvaluateBoolean(ctx, data)
	if err != nil {
		return false, "readyExpr: " + err.Error()
	}
	return holds, ""
}
