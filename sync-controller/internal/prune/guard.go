package prune

import (
	"context"
	"strings"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// deleter is what a [Guard] stands before; *Pruner outside of tests.
type deleter interface {
	Prune(ctx context.Context, stale []inventory.Entry) (Result, error)
	Terminating(ctx context.Context, deleted []inventory.Entry) ([]inventory.Entry, error)
}

// Guard keeps namespaces that must not be deleted, whatever asks for it: a namespace takes everything inside it along, whoever
// has put it there. See api/decisions/0021-namespaces-that-are-kept.md.
type Guard struct {
	deleter
	holds map[string]string
}

// NewGuard stands before a pruner. holds says what namespaces hold that must not be lost, for example "the Kustomization
// itself"; an entry under an empty name is passed over. The namespaces that every cluster has are kept as well.
func NewGuard(before deleter, holds map[string]string) Guard {
	return Guard{deleter: before, holds: holds}
}

// Prune is [Pruner.Prune] without the namespaces that are kept. Those are released, and among the changes, with why.
func (g Guard) Prune(ctx context.Context, stale []inventory.Entry) (Result, error) {
	var remove []inventory.Entry
	var kept apply.ChangeSet
	for _, e := range stale {
		if why := g.why(e.ID); why != "" {
			kept = append(kept, apply.Change{Entry: e, Action: apply.Kept, Why: why})
			continue
		}
		remove = append(remove, e)
	}
	result, err := g.deleter.Prune(ctx, remove)
	result.Changes = append(result.Changes, kept...)
	return result, err
}

// Terminating is [Pruner.Terminating] without what was never to be deleted.
func (g Guard) Terminating(ctx context.Context, deleted []inventory.Entry) ([]inventory.Entry, error) {
	var removed []inventory.Entry
	for _, e := range deleted {
		if g.why(e.ID) == "" {
			removed = append(removed, e)
		}
	}
	return g.deleter.Terminating(ctx, removed)
}

// why says why an object is kept; empty for one that may be deleted.
func (g Guard) why(id inventory.ID) string {
	switch {
	case id.GroupKind.Kind != "Namespace" || id.GroupKind.Group != "" || id.Name == "":
		return ""
	case id.Name == "default" || strings.HasPrefix(id.Name, "kube-"):
		return "namespaces of that name are Kubernetes' own"
	case g.holds[id.Name] != "":
		return "it holds " + g.holds[id.Name]
	}
	return ""
}
