package controller

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// finder finds the subjects of one kind that something else concerns.
type finder struct {
	reader client.Reader
	list   func() client.ObjectList
}

// find returns the subjects that an index, or nothing, selects. It reads the cache.
func (f *finder) find(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := f.list()
	if err := f.reader.List(ctx, list, options...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot list the subjects that a change concerns")
		return nil
	}
	var requests []reconcile.Request
	objects, err := apimeta.ExtractList(list)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot list the subjects that a change concerns")
		return nil
	}
	for _, object := range objects {
		if subject, ok := object.(client.Object); ok {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(subject)})
		}
	}
	return requests
}

func (f *finder) all(ctx context.Context, _ client.Object) []reconcile.Request { return f.find(ctx) }

func (f *finder) bySource(kind string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		return f.find(ctx, client.MatchingFields{bySource: key(kind, object.GetNamespace(), object.GetName())})
	}
}

func (f *finder) byReference(kind string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		return f.find(ctx, client.MatchingFields{byReference: key(kind, object.GetNamespace(), object.GetName())})
	}
}

// subjectChanged lets through what a user does: the spec, a request or another annotation, and the end.
func subjectChanged() predicate.Predicate {
	return predicate.Or(
		predicate.GenerationChangedPredicate{},
		predicate.AnnotationChangedPredicate{},
		predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		}},
	)
}

// recordDeleted lets through that somebody deleted a record.
func recordDeleted() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// artifactChanged lets through that a source has another artifact, and that it comes and goes.
func artifactChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(artifactSource)
		after, ok2 := e.ObjectNew.(artifactSource)
		return ok && ok2 && !sameArtifact(before.GetArtifact(), after.GetArtifact())
	}}
}

func sameArtifact(a, b *meta.Artifact) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Revision == b.Revision && a.Digest == b.Digest && a.URL == b.URL && a.Metadata[originRevision] == b.Metadata[originRevision]
}

// chartChanged lets through what a release waits for: an artifact, or why there is none.
func chartChanged() predicate.Predicate {
	return predicate.Or(artifactChanged(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := standingOf(e.ObjectOld), standingOf(e.ObjectNew)
		return before != nil && after != nil && (e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || !before.equal(after))
	}})
}

// nextChanged lets through that sync-controller asks for a release with other parameters.
func nextChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Sync)
		after, ok2 := e.ObjectNew.(*v1alpha1.Sync)
		if !ok || !ok2 || after.Release == nil {
			return false
		}
		return before.Release == nil || before.Release.Next != after.Release.Next
	}}
}

// versionChanged lets through that what a subject reads has changed. What is new in the cache is not: it is read anyway.
func versionChanged() predicate.Predicate {
	return predicate.ResourceVersionChangedPredicate{}
}
