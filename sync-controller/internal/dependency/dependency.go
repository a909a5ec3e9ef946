// Package dependency looks at what a subject depends on: in spec.dependsOn, with readyExpr, and whether it depends on itself
// in the end. It reads caches only.
package dependency

import (
	"cmp"
	"context"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/sync-controller/internal/peers"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Lookup finds what one subject depends on.
type Lookup struct {
	// Cache has the subjects.
	Cache  client.Reader
	Access access.Checker
	Kind   subject.Kind
	Key    subject.Key
	// Subject depends, and is about to be at Revision; empty without a Render.
	Subject  subject.Subject
	Revision string
	// Expressions are the subject's, compiled.
	Expressions *Expressions
}

// All looks up every dependency.
func (l Lookup) All(ctx context.Context) ([]plan.Dependency, error) {
	refs := l.Subject.DependsOn()
	found := make([]plan.Dependency, 0, len(refs))
	for _, ref := range refs {
		d, err := l.one(ctx, ref)
		if err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	return found, nil
}

func (l Lookup) one(ctx context.Context, ref fluxmeta.DependencyReference) (plan.Dependency, error) {
	key := keyOf(l.Key, ref)
	d := plan.Dependency{Name: key.String(), Expr: ref.ReadyExpr}
	if _, err := l.Access.Reference(l.Key.Namespace, l.Kind.Name, ref.Namespace, ref.Name); err != nil {
		d.Found, d.Trouble = true, err.Error()
		return d, nil
	}
	o := l.Kind.NewObject()
	switch err := l.Cache.Get(ctx, key.Object(), o); {
	case ctx.Err() != nil:
		return d, ctx.Err()
	case client.IgnoreNotFound(err) != nil: // one in a namespace that is not watched
		d.Found, d.Trouble = true, err.Error()
		return d, nil
	case err != nil:
		return d, nil
	}
	dep := l.Kind.Of(o)
	status := dep.Reported()
	d.Found = true
	d.Generation, d.Observed = o.GetGeneration(), status.ReadyGeneration
	d.Ready = status.Ready == "True"
	d.SameSource = l.Kind.RevisionsAlign && dep.Source() == l.Subject.Source()
	d.Revision, d.Want = status.Revision, l.Revision
	if ref.ReadyExpr != "" {
		d.Holds, d.Trouble = l.Expressions.evaluate(ctx, ref.ReadyExpr, l.Subject.Object(), o)
	}
	return d, nil
}

// Cycle is the way on which a subject waits for itself in the end; nil when it does not. Expressions may let it out of a
// cycle, and are not followed.
func Cycle(ctx context.Context, cache client.Reader, key subject.Key) ([]string, error) {
	depends := make(map[string][]string)
	err := peers.Each(ctx, cache, func(key subject.Key, s subject.Subject) error {
		for _, ref := range s.DependsOn() {
			if ref.ReadyExpr == "" {
				depends[key.String()] = append(depends[key.String()], keyOf(key, ref).String())
			}
		}
		return nil
	})
	return plan.Cycle(key.String(), func(name string) []string { return depends[name] }), err
}

// Keys are what a subject depends on, as namespace/name.
func Keys(namespace string, refs []fluxmeta.DependencyReference) []string {
	var keys []string
	for _, ref := range refs {
		keys = append(keys, keyOf(subject.Key{Namespace: namespace}, ref).Object().String())
	}
	return keys
}

// keyOf is the subject that a reference of another one names.
func keyOf(from subject.Key, ref fluxmeta.DependencyReference) subject.Key {
	return subject.Key{Kind: from.Kind, Namespace: cmp.Or(ref.Namespace, from.Namespace), Name: ref.Name}
}
