package gitrepository

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// maxReached bounds how many GitRepositories are looked at to see whether one includes itself.
const maxReached = 256

// errRestoring: the file of an included artifact is lost, and its own object makes it again.
var errRestoring = errors.New("an included artifact is being stored anew")

// included are the artifacts that an object includes, in the order of its spec: from the API server if somebody asked for a
// reconcile, who may have seen more than the cache.
func (r *Reconciler) included(ctx context.Context, obj *sourcev1.GitRepository) ([]*meta.Artifact, *plan.Problem) {
	if len(obj.Spec.Include) == 0 {
		return nil, nil
	}
	if problem := r.loop(ctx, obj); problem != nil {
		return nil, problem
	}
	reader := client.Reader(r.Reporter.Client)
	if requested(obj) {
		reader = r.Reporter.Live
	}
	var all []*meta.Artifact
	for _, include := range obj.Spec.Include {
		name := include.GitRepositoryRef.Name
		var source sourcev1.GitRepository
		err := reader.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: name}, &source)
		switch {
		case apierrors.IsNotFound(err):
			return nil, plan.IncludeProblem(plan.ReasonNotFound,
				"GitRepository %s/%s of spec.include does not exist; create it, or correct repository.name", obj.Namespace, name)
		case err != nil:
			return nil, plan.IncludeProblem(plan.ReasonNotFound,
				"GitRepository %s/%s of spec.include cannot be read: %s", obj.Namespace, name, plan.Unreadable(err))
		case source.Status.Artifact == nil:
			return nil, plan.IncludeProblem(plan.ReasonNoArtifact,
				"GitRepository %s/%s of spec.include has no artifact yet; its Ready condition says why", obj.Namespace, name)
		}
		all = append(all, source.Status.Artifact)
	}
	return all, nil
}

// requested reports whether somebody asked for a reconcile that was not made yet.
func requested(obj *sourcev1.GitRepository) bool {
	token, ok := meta.ReconcileAnnotationValue(obj.Annotations)
	return ok && token != obj.Status.LastHandledReconcileAt
}

// loop refuses an object that includes itself, or what includes it: each new artifact would ask for another, for ever.
func (r *Reconciler) loop(ctx context.Context, obj *sourcev1.GitRepository) *plan.Problem {
	path, seen := []string{obj.Name}, map[string]bool{}
	var visit func(includes []sourcev1.GitRepositoryInclude) *plan.Problem
	visit = func(includes []sourcev1.GitRepositoryInclude) *plan.Problem {
		for _, include := range includes {
			name := include.GitRepositoryRef.Name
			if name == obj.Name {
				return plan.IncludeProblem(plan.ReasonIncludeLoop, "spec.include leads back to this GitRepository (%s → %s); remove one of them",
					strings.Join(path, " → "), name)
			}
			if seen[name] || len(seen) >= maxReached {
				continue
			}
			seen[name] = true
			var next sourcev1.GitRepository
			if err := r.Reporter.Client.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: name}, &next); err != nil {
				continue // that it is missing is said of those that are included by this object itself
			}
			path = append(path, name)
			if problem := visit(next.Spec.Include); problem != nil {
				return problem
			}
			path = path[:len(path)-1]
		}
		return nil
	}
	return visit(obj.Spec.Include)
}

// layers are the trees that are laid over an object's own; done releases them.
func (r *Reconciler) layers(includes []sourcev1.GitRepositoryInclude, artifacts []*meta.Artifact) (layers []pack.Layer, done func() error) {
	var all []*pack.Archive
	for i, include := range includes {
		artifact := artifacts[i]
		archive := pack.Artifact(func() (io.ReadCloser, error) {
			file, err := r.Store.ReadVerified(artifact.Path, artifact.Digest)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrDigest) {
				return nil, errRestoring
			}
			return file, err
		})
		all = append(all, archive)
		layers = append(layers, pack.Layer{Tree: archive, From: include.GetFromPath(), To: include.GetToPath()})
	}
	return layers, func() (err error) {
		for _, archive := range all {
			err = errors.Join(err, archive.Close())
		}
		return err
	}
}
