package release

import (
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

func TestDecide(t *testing.T) {
	installing := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}
	upgradingTo := func(n int) v1alpha1.ReleaseParameters { return v1alpha1.ReleaseParameters{Revision: n} }
	latest := func(status storage.Status, change func(*storage.Facts)) *storage.Facts {
		f := &storage.Facts{
			Name: "web", Namespace: "apps", Version: 3, Status: status,
			ChartName: "web", ChartVersion: "1.0.0", ConfigDigest: "sha256:c", Digest: "sha256:d", Recorded: true,
		}
		if change != nil {
			change(f)
		}
		return f
	}
	wanted := storage.Facts{ChartName: "web", ChartVersion: "1.0.0", ConfigDigest: "sha256:c"}
	foreign := func(f *storage.Facts) { f.Recorded = false }
	snapshot := func(digest, api string) *helmv2.Snapshot {
		return &helmv2.Snapshot{APIVersion: api, Name: "web", Namespace: "apps", Version: 3, Digest: digest}
	}
	tests := map[string]struct {
		reason string
		state  State
		want   Step
		next   v1alpha1.ReleaseParameters
	}{
		"absent":            {"nothing is recorded", State{Parameters: installing}, StepInstall, installing},
		"absent, stale":     {"a rendering for another revision does not fit a new release", State{Parameters: upgradingTo(4)}, StepRender, installing},
		"uninstalled":       {"an uninstalled release with history is installed under the next number", State{Latest: latest(storage.StatusUninstalled, nil), Parameters: v1alpha1.ReleaseParameters{Revision: 4, IsInstall: true}}, StepInstall, v1alpha1.ReleaseParameters{Revision: 4, IsInstall: true}},
		"uninstalling":      {"an uninstallation that never ended leaves nothing to rely on", State{Latest: latest(storage.StatusUninstalling, nil), Parameters: installing}, StepRender, v1alpha1.ReleaseParameters{Revision: 4, IsInstall: true}},
		"own work":          {"this process is applying it", State{Latest: latest(storage.StatusPendingUpgrade, nil), Working: 3}, StepContinue, upgradingTo(4)},
		"left behind":       {"nobody works on a pending release: it was left by a crash", State{Latest: latest(storage.StatusPendingInstall, nil)}, StepUnlock, upgradingTo(4)},
		"left, other work":  {"our work is on another version", State{Latest: latest(storage.StatusPendingUpgrade, nil), Working: 2}, StepUnlock, upgradingTo(4)},
		"left in rollback":  {"helm rollback crashed", State{Latest: latest("pending-rollback", nil)}, StepUnlock, upgradingTo(4)},
		"in sync":           {"chart and values are the same", State{Latest: latest(storage.StatusDeployed, nil), Parameters: upgradingTo(4)}, StepNone, upgradingTo(4)},
		"in sync, rendered": {"parameters matter only when there is something to do", State{Latest: latest(storage.StatusDeployed, nil), Parameters: installing}, StepNone, upgradingTo(4)},
		"chart version":     {"a new chart version", State{Latest: latest(storage.StatusDeployed, func(f *storage.Facts) { f.ChartVersion = "0.9.0" }), Parameters: upgradingTo(4)}, StepUpgrade, upgradingTo(4)},
		"chart name":        {"another chart in place", State{Latest: latest(storage.StatusDeployed, func(f *storage.Facts) { f.ChartName = "www" }), Parameters: upgradingTo(4)}, StepUpgrade, upgradingTo(4)},
		"values":            {"values changed", State{Latest: latest(storage.StatusDeployed, func(f *storage.Facts) { f.ConfigDigest = "sha256:e" }), Parameters: upgradingTo(4)}, StepUpgrade, upgradingTo(4)},
		"values, stale":     {"the rendering was made for the install", State{Latest: latest(storage.StatusDeployed, func(f *storage.Facts) { f.ConfigDigest = "sha256:e" }), Parameters: installing}, StepRender, upgradingTo(4)},
		"forced":            {"forced although in sync", State{Latest: latest(storage.StatusDeployed, nil), Parameters: upgradingTo(4), Forced: true}, StepUpgrade, upgradingTo(4)},
		"forced, done":      {"a crash right after the forced release must not make another", State{Latest: latest(storage.StatusDeployed, nil), Working: 3, Forced: true}, StepNone, upgradingTo(4)},
		"superseded":        {"the newest record is superseded: whoever upgraded never finished", State{Latest: latest(storage.StatusSuperseded, nil), Parameters: upgradingTo(4)}, StepUpgrade, upgradingTo(4)},
		"unmanaged":         {"somebody else's release of that name is taken over", State{Latest: latest(storage.StatusDeployed, foreign), Parameters: upgradingTo(4)}, StepUpgrade, upgradingTo(4)},
		"taken over":        {"a release that Flux left in sync stays as it is", State{Latest: latest(storage.StatusDeployed, foreign), Observed: snapshot("sha256:d", "v2"), Parameters: upgradingTo(4)}, StepNone, upgradingTo(4)},
		"taken over, old":   {"digests of older snapshots are not comparable", State{Latest: latest(storage.StatusDeployed, foreign), Observed: snapshot("sha256:x", ""), Parameters: upgradingTo(4)}, StepNone, upgradingTo(4)},
		"edited":            {"the record was changed after Flux observed it", State{Latest: latest(storage.StatusDeployed, foreign), Observed: snapshot("sha256:x", "v2"), Parameters: upgradingTo(4)}, StepUpgrade, upgradingTo(4)},
		"upgraded by hand":  {"somebody recorded a newer version", State{Latest: latest(storage.StatusDeployed, func(f *storage.Facts) { f.Recorded = false; f.Version = 4 }), Observed: snapshot("sha256:d", "v2"), Parameters: upgradingTo(5)}, StepUpgrade, upgradingTo(5)},
		"failed":            {"a failure that was not counted is tried again", State{Latest: latest(storage.StatusFailed, nil), Parameters: upgradingTo(4)}, StepUpgrade, upgradingTo(4)},
		"failed, counted":   {"the same content failed: retries are not served", State{Latest: latest(storage.StatusFailed, nil), Failures: 1, Parameters: upgradingTo(4)}, StepBlocked, upgradingTo(4)},
		"failed, changed":   {"other values deserve a try", State{Latest: latest(storage.StatusFailed, func(f *storage.Facts) { f.ConfigDigest = "sha256:e" }), Failures: 1, Parameters: upgradingTo(4)}, StepUpgrade, upgradingTo(4)},
		"failed, forced":    {"forced after a failure", State{Latest: latest(storage.StatusFailed, nil), Failures: 1, Forced: true, Parameters: upgradingTo(4)}, StepUpgrade, upgradingTo(4)},
		"moved":             {"the old release goes first", State{Latest: latest(storage.StatusDeployed, nil), Moved: "release name", Parameters: installing}, StepUninstall, upgradingTo(4)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.state.Rendered = wanted
			got := Decide(tt.state)
			if got.Step != tt.want || got.Next != tt.next {
				t.Errorf("%s: got %+v, want step %s, next %+v", tt.reason, got, tt.want, tt.next)
			}
			if got.Reason == "" {
				t.Errorf("%s: the decision does not say why", tt.reason)
			}
		})
	}
}
