package release

import (
	"context"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// none are the actions for a subject that releases nothing.
type none struct{}

func (none) Observe() plan.Release                                       { return plan.Release{} }
func (none) Compare(context.Context) (reason string, err error)          { return "", nil }
func (none) Repair(context.Context) (Repaired, error)                    { return Repaired{}, nil }
func (none) Version() int                                                { return 0 }
func (none) Begin(context.Context) (begun bool, err error)               { return false, nil }
func (none) Conclude(context.Context, string) (*v1alpha1.Release, error) { return nil, nil }
func (none) Requested(v1alpha1.ReleaseParameters) *v1alpha1.Release      { return nil }
func (none) Restart()                                                    {}
func (none) Recheck()                                                    {}
func (none) Adopt(context.Context) error                                 { return nil }
func (none) Namespaces() []string                                        { return nil }
func (none) BeginUninstall(context.Context) error                        { return nil }
func (none) Uninstall(context.Context) error                             { return nil }
func (none) DeleteChart(context.Context) error                           { return nil }
func (none) LeaveChart(context.Context) error                            { return nil }
