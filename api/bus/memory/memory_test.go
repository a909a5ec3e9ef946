package memory_test

import (
	"testing"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/bustest"
	"github.com/sluice-gitops/sluice/api/bus/memory"
)

func TestContract(t *testing.T) {
	bustest.Run(t, func(*testing.T) bus.Bus { return memory.New() })
}
