package controller

import (
	"fmt"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// annotate sets annotations of a HelmRelease as the flux CLI does.
func (s *stack) annotate(hr *helmv2.HelmRelease, annotations map[string]string) {
	s.t.Helper()
	fresh := &helmv2.HelmRelease{}
	s.get(fresh, hr.Name)
	*hr = *fresh
	base := hr.DeepCopy()
	if hr.Annotations == nil {
		hr.Annotations = make(map[string]string)
	}
	for key, value := range annotations {
		hr.Annotations[key] = value
	}
	if err := s.client.Patch(s.t.Context(), hr, client.MergeFrom(base)); err != nil {
		s.t.Fatal(err)
	}
}

// answered waits until a token was handled.
func (s *stack) answered(hr *helmv2.HelmRelease, token string) {
	s.t.Helper()
	s.eventually("token "+token+" is answered", func() string {
		fresh := &helmv2.HelmRelease{}
		s.get(fresh, hr.Name)
		*hr = *fresh
		if hr.Status.LastHandledReconcileAt != token {
			return "the last one is " + hr.Status.LastHandledReconcileAt
		}
		return ""
	})
}

func noWait(hr *helmv2.HelmRelease) {
	hr.Spec.Install, hr.Spec.Upgrade = &helmv2.Install{DisableWait: true}, &helmv2.Upgrade{DisableWait: true}
}

// TestForcedRelease: forceAt makes one release more of what is released already, once, and only beside its requestedAt.
func TestForcedRelease(t *testing.T) {
	t.Parallel()
	install, upgrade := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, v1alpha1.ReleaseParameters{Revision: 2}
	s := newStack(t).start()
	hr := s.helmRelease("app", noWait)
	render := func(parameters v1alpha1.ReleaseParameters) {
		s.release(hr, map[string]any{"a": 1}, parameters, s.configMap("one", fmt.Sprint("revision ", parameters.Revision)))
	}
	render(install)
	s.released(hr, "True", "InstallSucceeded", "app.v1")

	s.annotate(hr, map[string]string{meta.ReconcileRequestAnnotation: "a", helmv2.ForceRequestAnnotation: "earlier"})
	render(install)
	s.answered(hr, "a")
	if hr.Status.LastHandledForceAt != "earlier" || len(hr.Status.History) != 1 {
		t.Errorf("a force without its request: %+v", hr.Status)
	}

	s.annotate(hr, map[string]string{meta.ReconcileRequestAnnotation: "b", helmv2.ForceRequestAnnotation: "b"})
	render(install)
	s.next("app", upgrade)
	render(upgrade)
	s.answered(hr, "b")
	s.released(hr, "True", "UpgradeSucceeded", "app.v2")
	if hr.Status.LastHandledForceAt != "b" || hr.Status.LastHandledReconcileAt != "b" {
		t.Errorf("status: %+v", hr.Status)
	}
	if complaint := s.value("one", "revision 2"); complaint != "" {
		t.Errorf("templates saw another revision: %s", complaint)
	}

	// The annotations stay; neither a restart nor another rendering makes a third release of them.
	s.stop()
	s.start()
	render(upgrade)
	s.annotate(hr, map[string]string{meta.ReconcileRequestAnnotation: "c"})
	render(upgrade)
	s.answered(hr, "c")
	if complaint := s.storageStatus("app", 2, "deployed"); complaint != "" {
		t.Error(complaint)
	}
	if len(hr.Status.History) != 2 || hr.Status.History[0].Version != 2 {
		t.Errorf("history: %+v", hr.Status.History)
	}
}

// TestForceAgainstFailure: a release that failed and is not retried any more is released again, by force.
func TestForceAgainstFailure(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.failedRelease()
	s.annotate(hr, map[string]string{meta.ReconcileRequestAnnotation: "a", helmv2.ForceRequestAnnotation: "a"})
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.deployment("web"))
	s.next("app", v1alpha1.ReleaseParameters{Revision: 2})
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 2}, s.deployment("web"))
	s.finish("web")
	s.released(hr, "True", "UpgradeSucceeded", "app.v2")
	s.answered(hr, "a")
	if hr.Status.LastHandledForceAt != "a" || hr.Status.Failures != 0 {
		t.Errorf("status: %+v", hr.Status)
	}
}

// TestResetFailures: resetAt forgets failures, so that one more attempt is made; another failure is the first again.
func TestResetFailures(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.failedRelease()
	web := s.deployment("web")

	// A request alone changes nothing.
	s.annotate(hr, map[string]string{meta.ReconcileRequestAnnotation: "a"})
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, web)
	s.answered(hr, "a")
	if c := apimeta.FindStatusCondition(hr.Status.Conditions, "Stalled"); c == nil || c.Reason != "RetriesExceeded" || hr.Status.Failures != 1 {
		t.Errorf("after a request: %+v", hr.Status)
	}

	s.annotate(hr, map[string]string{meta.ReconcileRequestAnnotation: "b", helmv2.ResetRequestAnnotation: "b"})
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, web)
	s.next("app", v1alpha1.ReleaseParameters{Revision: 2})
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 2}, web)
	s.released(hr, "False", "UpgradeFailed", "Deployment/"+s.namespace+"/web")
	s.answered(hr, "b")
	if hr.Status.LastHandledResetAt != "b" || hr.Status.Failures != 1 || hr.Status.InstallFailures != 0 || hr.Status.UpgradeFailures != 1 {
		t.Errorf("after a reset: %+v", hr.Status)
	}
}

// TestChangeForgetsFailures: failures of other values do not count.
func TestChangeForgetsFailures(t *testing.T) {
	t.Parallel()
	s := newStack(t).start()
	hr := s.failedRelease()
	values := map[string]any{"a": 2}
	s.release(hr, values, v1alpha1.ReleaseParameters{Revision: 2}, s.deployment("web"))
	s.released(hr, "False", "UpgradeFailed", "Deployment/"+s.namespace+"/web")
	if hr.Status.Failures != 1 || hr.Status.InstallFailures != 0 || hr.Status.UpgradeFailures != 1 {
		t.Errorf("status: %+v", hr.Status)
	}
	s.rest(time.Second)
	if complaint := s.storageStatus("app", 2, "failed"); complaint != "" {
		t.Error(complaint)
	}
}

// failedRelease is a release whose install failed.
func (s *stack) failedRelease() *helmv2.HelmRelease {
	s.t.Helper()
	hr := s.helmRelease("app")
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.deployment("web"))
	s.released(hr, "Unknown", "Progressing", "health checks")
	s.hang("web")
	s.released(hr, "False", "InstallFailed", "Deployment/"+s.namespace+"/web")
	return hr
}

// TestReleaseRecordRefused: an end of a release that storage does not take at once is recorded later.
func TestReleaseRecordRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.refuse = &refusal{line: "PUT secrets", times: 2}
	s.start()
	hr := s.helmRelease("app", noWait)
	s.release(hr, nil, v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}, s.configMap("one", "1"))
	s.released(hr, "True", "InstallSucceeded", "app.v1")
	if complaint := s.storageStatus("app", 1, "deployed"); complaint != "" {
		t.Error(complaint)
	}
	if len(hr.Status.History) != 1 {
		t.Errorf("history: %+v", hr.Status.History)
	}
}
