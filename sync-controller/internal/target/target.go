// Package target is the cluster that the objects of a subject live in, as the identity that they are applied with. Nothing
// reaches those objects in another way.
package target

import (
	"context"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/impersonate"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/prune"
)

// Applier brings objects into the cluster; *apply.Applier outside of tests.
type Applier interface {
	Prepare(objects []rendering.Object) (apply.Set, error)
	Installed(ctx context.Context, set apply.Set) error
	Apply(ctx context.Context, set apply.Set, o apply.Options) (apply.ChangeSet, error)
}

// Pruner deletes objects; *prune.Pruner outside of tests.
type Pruner interface {
	Prune(ctx context.Context, stale []inventory.Entry) (prune.Result, error)
	Terminating(ctx context.Context, deleted []inventory.Entry) ([]inventory.Entry, error)
}

// Target is where the objects of one subject live.
type Target struct {
	Applier Applier
	Pruner  Pruner
	// Client reads and writes without a cache.
	Client client.Client
	// Secrets is for Helm's storage.
	Secrets corev1client.SecretsGetter
}

// For makes the target of a subject: who owns the objects, which field manager applies them, and as which user (empty: as
// the controller).
type For func(owner inventory.Owner, manager, user string) (Target, error)

// Local is the cluster that the controller itself runs in.
func Local(clients *impersonate.Clients) For {
	return func(owner inventory.Owner, manager, user string) (Target, error) {
		c, err := clients.For(user)
		if err != nil {
			return Target{}, err
		}
		return Target{
			Applier: &apply.Applier{Client: c, FieldManager: manager, Owner: owner},
			Pruner:  &prune.Pruner{Client: c, Owner: owner},
			Client:  c,
			Secrets: c.Secrets,
		}, nil
	}
}
