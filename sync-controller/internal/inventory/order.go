package inventory

import (
	"cmp"
	"slices"

	"github.com/fluxcd/pkg/ssa"
)

// SortForApply puts entries in the order in which objects are applied: definitions before what they define, kinds that
// others refer to before those that refer, webhooks last; within that by group, kind, namespace and name.
func SortForApply(entries []Entry) {
	order := NewOrder()
	slices.SortFunc(entries, func(a, b Entry) int { return order.Compare(a.ID, b.ID) })
}

// Order compares identities by when they are applied. Flux's order of kinds is taken from its library; its own comparison
// builds that table anew for each pair, which is slow for large renderings.
type Order struct{ rank map[string]int }

// NewOrder returns the order. It is safe for concurrent use.
func NewOrder() Order {
	kinds := ssa.ReconcileOrder
	rank := make(map[string]int, len(kinds.First)+len(kinds.Last))
	for i, kind := range kinds.First {
		rank[kind] = i - len(kinds.First)
	}
	for i, kind := range kinds.Last {
		rank[kind] = i + 1
	}
	return Order{rank: rank}
}

// Rank places a kind: kinds of a lower rank are applied before those of a higher one, kinds of the same rank in any order.
func (o Order) Rank(kind string) int { return o.rank[kind] }

// Compare is negative when a is applied before b, and zero only for the same object.
func (o Order) Compare(a, b ID) int {
	return cmp.Or(
		cmp.Compare(o.rank[a.GroupKind.Kind], o.rank[b.GroupKind.Kind]),
		cmp.Compare(a.GroupKind.Group, b.GroupKind.Group),
		cmp.Compare(a.GroupKind.Kind, b.GroupKind.Kind),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}
