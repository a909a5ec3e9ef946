package controller

import (
	"cmp"
	"context"
	"fmt"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
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
	key := dependencyKey(p.key, ref)
	d := plan.Dependency{Name: key.String(), Expr: ref.ReadyExpr}
	if _, err := p.Access.Reference(p.key.Namespace, p.Kind.name, ref.Namespace, ref.Name); err != nil {
		d.Found, d.Trouble = true, err.Error()
		return d, nil
	}
	o := p.Kind.newObject()
	switch err := p.Client.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, o); {
	case ctx.Err() != nil:
		return d, ctx.Err()
	case client.IgnoreNotFound(err) != nil: // one in a namespace that is not watched
		d.Found, d.Trouble = true, err.Error()
		return d, nil
	case err != nil:
		return d, nil
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

// cycle looks whether a subject whose dependencies are not ready waits for itself in the end. Expressions may let it out of
// a cycle, and are not followed.
func (p *pass) cycle(ctx context.Context, state *plan.State) ([]string, error) {
	if state.Attempt.Stage != plan.Started || state.Attempt.Age < plan.Patience || len(plan.Blocked(state.Dependencies)) == 0 {
		return nil, nil
	}
	depends := make(map[string][]string)
	err := p.eachSubject(ctx, func(key keep.Key, s subject) error {
		for _, ref := range s.dependsOn() {
			if ref.ReadyExpr == "" {
				depends[key.String()] = append(depends[key.String()], dependencyKey(key, ref).String())
			}
		}
		return nil
	})
	return plan.Cycle(p.key.String(), func(name string) []string { return depends[name] }), err
}

// dependencyKey is the subject that a reference of another one names.
func dependencyKey(from keep.Key, ref fluxmeta.DependencyReference) keep.Key {
	return keep.Key{Kind: from.Kind, Namespace: cmp.Or(ref.Namespace, from.Namespace), Name: ref.Name}
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
