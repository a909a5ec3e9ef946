package health

import (
	"context"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Tracker remembers which objects of a subject are checked, and which of them were not healthy at the last look, so that a
// look costs requests for those only. The zero value knows nothing.
type Tracker struct {
	refs  []Ref
	exprs *Expressions
	// unhealthy are those not seen healthy in this attempt; nil before the first look.
	unhealthy map[inventory.ID]bool
	report    Report
}

// Track finds out which objects of a content, or beside it, are checked. self is the subject as an object.
func (t *Tracker) Track(checks subject.HealthChecks, content rendering.Content, self inventory.ID) error {
	exprs, err := Compile(checks.Exprs)
	if err != nil {
		return err
	}
	t.exprs, t.refs = exprs, Refs(checks, exprs, content, self)
	return nil
}

// Tracks says whether it is known which objects are checked, and by which expressions.
func (t *Tracker) Tracks() bool { return t.refs != nil && t.exprs != nil }

// ForgetExpressions is called when the spec has changed.
func (t *Tracker) ForgetExpressions() { t.exprs = nil }

// Restart looks at everything the next time.
func (t *Tracker) Restart() { t.unhealthy = nil }

// FoundUnhealthy says whether some were not healthy at the last look.
func (t *Tracker) FoundUnhealthy() bool { return len(t.unhealthy) > 0 }

// Report is what is known; known is false after a restart, before the objects are.
func (t *Tracker) Report() (r Report, known bool) { return t.report, t.refs != nil }

// Check looks once at what is not known to be healthy, at what has moved since it was, and at what no watch tells of: ours
// are the watched objects, done those that are gone because they have come to their end.
func (t *Tracker) Check(ctx context.Context, reader client.Reader, moved map[inventory.ID]bool, ours inventory.Inventory, done func(inventory.ID) bool) (Report, error) {
	look := t.due(moved, ours)
	for i := range look {
		look[i].MayVanish = look[i].MayVanish || done(look[i].ID)
	}
	report, err := Check(ctx, reader, look, t.exprs)
	if err != nil {
		return Report{}, err
	}
	t.unhealthy = make(map[inventory.ID]bool)
	for _, findings := range [][]Finding{report.Failed, report.InProgress} {
		for _, f := range findings {
			t.unhealthy[f.ID] = true
		}
	}
	report.Total = int64(len(t.refs))
	report.Ready = report.Total - int64(len(t.unhealthy))
	t.report = report
	return report, nil
}

func (t *Tracker) due(moved map[inventory.ID]bool, ours inventory.Inventory) []Ref {
	if t.unhealthy == nil {
		return slices.Clone(t.refs)
	}
	var look []Ref
	for _, ref := range t.refs {
		watched := ours.Has(ref.ID) && Relevant(ref.ID.GroupKind)
		if !watched || t.unhealthy[ref.ID] || moved[ref.ID] {
			look = append(look, ref)
		}
	}
	return look
}

// State is the report in one of v1alpha1's words.
func (r Report) State() string {
	switch {
	case r.Total == 0:
		return v1alpha1.HealthUnknown
	case len(r.Failed) > 0:
		return v1alpha1.HealthFailed
	case len(r.InProgress) > 0:
		return v1alpha1.HealthProgressing
	}
	return v1alpha1.HealthHealthy
}
