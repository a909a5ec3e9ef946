package heal

import (
	"context"
	"testing"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

func TestRefusedSignals(t *testing.T) {
	id := func(name string) inventory.ID { return inventory.ID{Namespace: "ns", Name: name} }
	signals := map[inventory.ID]drift.Signal{id("a"): {Manager: "x"}, id("b"): {Manager: "y"}}
	named := &apply.Error{Failures: []apply.Failure{{ID: id("b")}, {ID: id("c")}}}
	if got := refused(signals, named); len(got) != 1 || got[id("b")].Manager != "y" {
		t.Errorf("got %v, want the one that was refused", got)
	}
	if got := refused(signals, context.Canceled); len(got) != 2 {
		t.Errorf("got %v, want all: nobody knows which", got)
	}
}
