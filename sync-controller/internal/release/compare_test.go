package release

import (
	"testing"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// TestRenderingArrivesLate: a rendering that arrives after the decision to ask for it is decided about again, or it would
// be applied without being released.
func TestRenderingArrivesLate(t *testing.T) {
	next := v1alpha1.ReleaseParameters{Revision: 2}
	for name, tc := range map[string]struct {
		reason string
		render *v1alpha1.ReleaseParameters
		known  bool
	}{
		"not yet": {"it was asked for and is waited for", &v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, true},
		"arrived": {"it fits now, and was not compared", &next, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := helm{World: World{
				Render: func() *v1alpha1.Render { return &v1alpha1.Render{Release: tc.render} },
				Memory: &Memory{known: true, decision: Decision{Step: StepRender, Next: next}},
			}}
			if got := h.Observe(); got.Known != tc.known || !got.Due {
				t.Errorf("%s: %+v", tc.reason, got)
			}
		})
	}
}
