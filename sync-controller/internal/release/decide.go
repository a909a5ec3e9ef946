package release

import (
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

// Decide says what to do next. The states are Flux's: absent, locked, unmanaged, out of sync, failed, in sync.
func Decide(s State) Decision {
	step, reason := s.step()
	after := storage.NextAfter(s.Latest)
	acts := step == StepInstall || step == StepUpgrade
	if acts && s.Parameters != after {
		return Decision{
			Step: StepRender, Next: after,
			Reason: fmt.Sprintf("%s: waits for a rendering as revision %d (install: %t)", reason, after.Revision, after.IsInstall),
		}
	}
	return Decision{Step: step, Reason: reason, Next: after}
}

func (s State) step() (Step, string) {
	switch {
	case s.Moved != "":
		return StepUninstall, s.Moved + " changed: the release has to be installed anew"
	case s.Latest == nil:
		return StepInstall, "no release in storage"
	case s.Latest.Status.Pending() && s.Working == s.Latest.Version:
		return StepContinue, fmt.Sprintf("%s of revision %d is under way", s.Latest.Status, s.Latest.Version)
	case s.Latest.Status.Pending():
		return StepUnlock, fmt.Sprintf("revision %d was left %s", s.Latest.Version, s.Latest.Status)
	case s.Latest.Status.Gone():
		return StepInstall, "found " + string(s.Latest.Status) + " release in storage"
	case s.Latest.Status == storage.StatusFailed:
		return s.afterFailure()
	default:
		return s.compared()
	}
}

// afterFailure retries what changed or was not counted yet, and stalls otherwise: retries are not served.
func (s State) afterFailure() (Step, string) {
	change := s.change()
	switch {
	case change != "":
		return StepUpgrade, change + " after a failure"
	case s.Forced:
		return StepUpgrade, "forced"
	case s.Failures == 0:
		return StepUpgrade, fmt.Sprintf("revision %d failed", s.Latest.Version)
	default:
		return StepBlocked, fmt.Sprintf("revision %d failed: change spec, values or chart, or force the release", s.Latest.Version)
	}
}

// compared looks at a release that is in effect.
func (s State) compared() (Step, string) {
	change := s.change()
	switch {
	case change != "":
		return StepUpgrade, change
	case s.Latest.Status != storage.StatusDeployed:
		return StepUpgrade, fmt.Sprintf("release with status %s", s.Latest.Status)
	case !s.managed():
		return StepUpgrade, "found a release in storage that was not made for this HelmRelease, or was changed since"
	case s.Forced && s.Working != s.Latest.Version:
		return StepUpgrade, "forced"
	default:
		return StepNone, "release is in sync"
	}
}

// change says what the rendering changes. A chart is compared by name and version, as in Flux: charts from Git carry the
// commit in their version when reconcileStrategy is Revision.
func (s State) change() string {
	switch {
	case s.Latest.ChartName != s.Rendered.ChartName:
		return fmt.Sprintf("chart changed from %s to %s", s.Latest.ChartName, s.Rendered.ChartName)
	case s.Latest.ChartVersion != s.Rendered.ChartVersion:
		return fmt.Sprintf("chart version changed from %s to %s", s.Latest.ChartVersion, s.Rendered.ChartVersion)
	case s.Latest.ConfigDigest != s.Rendered.ConfigDigest:
		return "values changed"
	default:
		return ""
	}
}

// managed says whether the newest record is as Sluice left it, or as Flux did before. The status alone cannot say it: a
// controller that crashed, or reads an old copy of the object, has not seen its own last write there.
func (s State) managed() bool {
	if s.Latest.Recorded {
		return true
	}
	o := s.Observed
	if o == nil || !o.Targets(s.Latest.Name, s.Latest.Namespace, s.Latest.Version) {
		return false
	}
	// Digests of other versions were computed in other ways; Flux does not look at them either.
	return o.APIVersion != helmv2.CurrentSnapshotAPIVersion || o.Digest == s.Latest.Digest
}
