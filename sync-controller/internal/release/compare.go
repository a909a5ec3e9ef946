package release

import (
	"context"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

// Observe says what was found out about Helm's storage in this attempt.
func (h helm) Observe() plan.Release {
	m := h.Memory
	observed := plan.Release{Known: m.known, Next: m.decision.Next}
	switch m.decision.Step {
	case StepNone:
		observed.InSync = true
	case StepInstall, StepUpgrade:
		observed.Due = true
	case StepRender:
		observed.Due = true
		if r := h.Render(); r != nil && r.Release != nil && *r.Release == m.decision.Next { // since then: decide again
			observed.Known = false
		}
	case StepUnlock, StepUninstall:
		observed.Repair = m.decision.Reason
	case StepBlocked:
		observed.Blocked = m.decision.Reason
	case StepContinue:
	}
	return observed
}

// Compare reads the newest record and the content, and decides what they ask for.
func (h helm) Compare(ctx context.Context) (reason string, err error) {
	rendered, err := h.rendered(ctx, 0)
	if err != nil {
		return plan.ReasonArtifactFailed, err
	}
	records, err := h.records()
	if err != nil {
		return plan.ReasonStateError, err
	}
	latest, err := records.Latest(ctx, RefOf(h.hr))
	if err != nil {
		return plan.ReasonStateError, err
	}
	if err := h.adopt(latest); err != nil {
		return plan.ReasonStateError, err
	}
	decision := Decide(h.state(rendered, latest))
	if decision.Step == StepInstall || decision.Step == StepUpgrade {
		if rendered, err = h.rendered(ctx, decision.Next.Revision); err != nil {
			return plan.ReasonArtifactFailed, err
		}
	}
	*h.Memory = Memory{known: true, decision: decision, latest: latest, rendered: rendered}
	return "", nil
}

// state is everything that is decided from.
func (h helm) state(rendered, latest *storage.Release) State {
	facts := rendered.Facts()
	s := State{
		Rendered: facts, Observed: h.hr.Status.History.Latest(), Moved: Moved(h.hr, facts.ChartName),
		Working: h.Attempt.Release, Failures: h.failures(facts),
		Forced: h.requested(helmv2.ForceRequestAnnotation, h.hr.Status.LastHandledForceAt),
	}
	if latest != nil {
		f := latest.Facts()
		if s.Observed != nil {
			f.Digest = latest.Digest(s.Observed.OCIDigest)
		}
		s.Latest = &f
	}
	if r := h.Render(); r != nil && r.Release != nil {
		s.Parameters = *r.Release
	}
	return s
}

// rendered is the release that the attempt's content asks for.
func (h helm) rendered(ctx context.Context, version int) (*storage.Release, error) {
	content, err := h.Open(ctx, version)
	if err != nil {
		return nil, err
	}
	return storage.Parse(content.Release)
}

// failures counts those that still matter.
func (h helm) failures(rendered storage.Facts) int64 {
	if Changed(h.hr, rendered) != "" || h.requested(helmv2.ResetRequestAnnotation, h.hr.Status.LastHandledResetAt) {
		return 0
	}
	return h.hr.Status.Failures
}

// requested says whether an annotation asks for a one-off action together with the current token.
func (h helm) requested(annotation, handled string) bool {
	at := h.hr.Annotations[annotation]
	return at != "" && at == h.hr.Annotations[fluxmeta.ReconcileRequestAnnotation] && at != handled &&
		at != h.hr.Status.LastHandledReconcileAt
}
