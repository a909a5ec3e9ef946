package controller

import (
	"context"
	"strings"
	"time"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/content"
	"github.com/sluice-gitops/sluice/sync-controller/internal/fingerprint"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/peers"
	"github.com/sluice-gitops/sluice/sync-controller/internal/prune"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release"
	"github.com/sluice-gitops/sluice/sync-controller/internal/target"
)

// What the rooms ask for, made from what a reconciliation has.

func (r *reconciliation) owner() inventory.Owner { return r.Kind.Owner(r.key) }

// target is where this subject's objects live. A service account that cannot be impersonated is an error, never the
// controller's own rights.
func (r *reconciliation) target() (target.Target, error) {
	user, _, err := r.Access.ServiceAccount(r.key.Namespace, r.subject.ServiceAccount())
	if err != nil {
		return target.Target{}, err
	}
	t, err := r.Target(r.owner(), r.Kind.Manager, user)
	if err == nil {
		t.Pruner = prune.NewGuard(t.Pruner, r.holding())
	}
	return t, err
}

// holding says what namespaces hold that the work on this subject depends on.
func (r *reconciliation) holding() map[string]string {
	source := r.subject.Source()
	holds := map[string]string{r.Namespace: "the controllers"}
	if parts := strings.Split(source, "/"); len(parts) == 3 {
		holds[parts[1]] = "its source " + source
	}
	for _, namespace := range r.release.Namespaces() {
		holds[namespace] = "the records of its release"
	}
	holds[r.key.Namespace] = "the " + r.key.Kind + " itself"
	return holds
}

// fingerprintKey makes this subject's fingerprints.
func (r *reconciliation) fingerprintKey() fingerprint.Key {
	user, _, _ := r.Access.ServiceAccount(r.key.Namespace, r.subject.ServiceAccount()) // target has told of the error
	return fingerprint.Key{Secret: r.FingerprintKey, Manager: r.Kind.Manager, User: user}
}

// live tells the fingerprint that an object of this subject has now.
func (r *reconciliation) live(id inventory.ID) (string, bool) {
	return r.Watcher.Fingerprint(r.Kind.Group, id)
}

func (r *Reconciler) opener() content.Opener {
	return content.Opener{Store: r.Store, Fetcher: r.Fetcher, Identities: r.Identities, Mapper: r.Mapper}
}

func (r *reconciliation) contentOwner() content.Owner {
	return content.Owner{Key: r.key, UID: r.subject.Object().GetUID(), Namespace: r.subject.ObjectNamespace()}
}

// goalContent opens the content of the running attempt, as that version of a release; 0 for none.
func (r *reconciliation) goalContent(ctx context.Context, version int) (rendering.Content, content.Ref, error) {
	a := r.memory.attempt
	return r.opener().OpenGoal(ctx, r.contentOwner(), content.Goal{
		Tag: a.Goal.Tag, LastApplied: a.LastApplied, Render: r.render, Release: version,
	})
}

// lastApplied opens the content that heals the cluster.
func (r *reconciliation) lastApplied() (rendering.Content, error) {
	return r.opener().Open(r.contentOwner(), r.memory.attempt.LastApplied)
}

// claims asks who else has objects of this subject. What cannot be read holds a prune back for as long as its gate may.
func (r *reconciliation) claims(strict bool) peers.Claims {
	return peers.Claims{Cache: r.Client, Opener: r.opener(), Key: r.key, Source: r.subject.Source(), Strict: strict}
}

func (r *reconciliation) releaseWorld() release.World {
	return release.World{
		Owner: r.owner(), Target: r.target, Client: r.Client, Live: r.Live, Mapper: r.Mapper,
		Render: func() *v1alpha1.Render { return r.render },
		Open: func(ctx context.Context, version int) (rendering.Content, error) {
			opened, _, err := r.goalContent(ctx, version)
			return opened, err
		},
		Attempt: &r.memory.attempt, Memory: &r.memory.release,
		Now: r.Now, At: func() time.Time { return r.now },
	}
}
