package helmchart

import (
	"sync"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
)

// memories are what the registries of charts said, by the chart's UID. Each chart has its own: see [oci.Memory].
type memories struct {
	mu    sync.Mutex
	byUID map[types.UID]memory
}

type memory struct {
	*oci.Memory

	// told is what it depends on: the specs of the chart and of its repository.
	told told
}

type told struct {
	chart, repository int64
	uid               types.UID
}

// of is the memory of a chart, as it and its repository are now: another address or authority may be answered by somebody else.
func (m *memories) of(obj *sourcev1.HelmChart, repository *sourcev1.HelmRepository) *oci.Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byUID == nil {
		m.byUID = map[types.UID]memory{}
	}
	now := told{obj.Generation, repository.Generation, repository.UID}
	known, ok := m.byUID[obj.UID]
	if !ok || known.told != now {
		known = memory{&oci.Memory{}, now}
		m.byUID[obj.UID] = known
	}
	return known.Memory
}

func (m *memories) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byUID, uid)
}
