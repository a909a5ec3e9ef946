package controller

import (
	"context"
	"fmt"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// maxExpression bounds a readyExpr, in bytes.
const maxExpression = 4 << 10

// invalidExpressions says which readyExpr cannot be compiled; empty when all can.
func invalidExpressions(refs []fluxmeta.DependencyReference) string {
	for i, ref := range refs {
		if ref.ReadyExpr == "" {
			continue
		}
		if _, err := readyExpression(ref.ReadyExpr); err != nil {
			return fmt.Sprintf("spec.dependsOn[%d].readyExpr: %v", i, err)
		}
	}
	return ""
}

func readyExpression(expr string) (*cel.Expression, error) {
	if len(expr) > maxExpression {
		return nil, fmt.Errorf("%d bytes are more than the %d it may have", len(expr), maxExpression)
	}
	return cel.NewExpression(expr, cel.WithCompile(), cel.WithStructVariables("self", "dep"))
}

// dependencies looks up, in the cache, what the subject depends on.
func (p *pass) dependencies(ctx context.Context) ([]plan.Dependency, error) {
	refs := p.subject.dependsOn()
	found := make([]plan.Dependency, 0, len(refs))
	for _, ref := range refs {
		d, err := p.dependency(ctx, ref)
		if err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	return found, nil
}

func (p *pass) dependency(ctx context.Context, ref fluxmeta.DependencyReference) (plan.Dependency, error) {
	key := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	if key.Namespace == "" {
		key.Namespace = p.key.Namespace
	}
	d := plan.Dependency{Name: p.Kind.name + "/" + key.String(), Expr: ref.ReadyExpr}
	if _, err := p.Access.Reference(p.key.Namespace, p.Kind.name, ref.Namespace, ref.Name); err != nil {
		d.Found, d.Trouble = true, err.Error()
		return d, nil
	}
	o := p.Kind.newObject()
	if err := p.Client.Get(ctx, key, o); err != nil {
		return d, client.IgnoreNotFound(err)
	}
	dep := p.Kind.wrap(o)
	status := dep.status()
	d.Found = true
	d.Generation, d.Observed = o.GetGeneration(), status.ReadyGeneration
	d.Ready = status.Ready == "True"
	d.SameSource = p.Kind.name == kustomizations().name && dep.source() == p.subject.source()
	d.Revision = status.Revision
	if p.render != nil {
		d.Want = p.render.Source.Revision
	}
	if ref.ReadyExpr != "" {
		d.Holds, d.Trouble = p.evaluate(ctx, ref.ReadyExpr, o)
	}
	return d, nil
}

// evaluate runs a readyExpr over the subject and a dependency. It is compiled once per generation.
func (p *pass) evaluate(ctx context.Context, expr string, dep client.Object) (holds bool, trouble string) {
	e := p.mem.readiness[expr]
	if e == nil {
		compiled, err := readyExpression(expr)
		if err != nil {
			return false, err.Error()
		}
		if p.mem.readiness == nil {
			p.mem.readiness = make(map[string]*cel.Expression)
		}
		e, p.mem.readiness[expr] = compiled, compiled
	}
	data := make(map[string]any, 2)
	for name, o := range map[string]client.Object{"self": p.subject.object(), "dep": dep} {
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
