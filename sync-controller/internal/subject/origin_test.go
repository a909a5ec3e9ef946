package subject

import (
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// TestOrigin: the status of a commit is set by the origin of what was tried, and never on the commit before.
func TestOrigin(t *testing.T) {
	applied := func(ks *kustomizev1.Kustomization) {
		ks.Status.LastAppliedRevision, ks.Status.LastAppliedOriginRevision, ks.Status.LastAttemptedRevision = "v1", "commit 1", "v1"
	}
	tests := map[string]struct {
		reason string
		change func(*kustomizev1.Kustomization, Subject)
		want   string
	}{
		"nothing": {"nothing was tried", func(*kustomizev1.Kustomization, Subject) {}, ""},
		"applied": {"it is in the status", func(ks *kustomizev1.Kustomization, _ Subject) { applied(ks) }, "commit 1"},
		"failed": {"it failed just now", func(ks *kustomizev1.Kustomization, s Subject) {
			applied(ks)
			s.SetAttempted(plan.Goal{Revision: "v2", OriginRevision: "commit 2"})
		}, "commit 2"},
		"no origin": {"the source does not say", func(ks *kustomizev1.Kustomization, s Subject) {
			applied(ks)
			s.SetAttempted(plan.Goal{Revision: "v2"})
		}, ""},
		"failed before": {"it failed before a restart", func(ks *kustomizev1.Kustomization, s Subject) {
			applied(ks)
			ks.Status.LastAttemptedRevision = "v2"
			s.AddHistory(HistoryEntry{Goal: plan.Goal{Tag: "t", Revision: "v2", OriginRevision: "commit 2"}, Outcome: "x", At: time.Unix(9, 0)})
		}, "commit 2"},
		"forgotten": {"nobody knows any more", func(ks *kustomizev1.Kustomization, _ Subject) {
			applied(ks)
			ks.Status.LastAttemptedRevision = "v2"
		}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ks := &kustomizev1.Kustomization{}
			s := newKustomization(ks)
			tt.change(ks, s)
			for _, s := range []Subject{s, s.Copy()} {
				if got := s.Revisions()["originRevision"]; got != tt.want {
					t.Errorf("%s: %q, want %q", tt.reason, got, tt.want)
				}
			}
		})
	}
}

func TestChartOfARelease(t *testing.T) {
	ref := func(kind string) *helmv2.HelmRelease {
		hr := &helmv2.HelmRelease{}
		hr.Namespace, hr.Name = "apps", "web"
		if kind != "" {
			hr.Spec.ChartRef = &helmv2.CrossNamespaceSourceReference{Kind: kind, Name: "charts", Namespace: "shared"}
		}
		return hr
	}
	tests := map[string]struct {
		reason   string
		hr       *helmv2.HelmRelease
		source   string
		made     string
		revision string
		digest   string
	}{
		"made":     {"spec.chart has a HelmChart made", ref(""), "HelmChart/apps/apps-web", "apps/apps-web", "1.0.0", ""},
		"chart":    {"a version has no digest", ref("HelmChart"), "HelmChart/shared/charts", "", "1.0.0@sha256:x", ""},
		"oci":      {"a tag has", ref("OCIRepository"), "OCIRepository/shared/charts", "", "1.0.0@sha256:x", "sha256:x"},
		"digest":   {"a digest is one", ref("OCIRepository"), "OCIRepository/shared/charts", "", "sha256:x", "sha256:x"},
		"external": {"as from a registry", ref("ExternalArtifact"), "ExternalArtifact/shared/charts", "", "latest@sha256:x", "sha256:x"},
		"semver":   {"a version has none", ref("ExternalArtifact"), "ExternalArtifact/shared/charts", "", "1.0.0", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := newHelmRelease(tt.hr).Source(); got != tt.source {
				t.Errorf("%s: source %s, want %s", tt.reason, got, tt.source)
			}
			if made, digest := MadeChart(tt.hr), OCIDigest(tt.hr, tt.revision); made != tt.made || digest != tt.digest {
				t.Errorf("%s: made %q, digest %q, want %q, %q", tt.reason, made, digest, tt.made, tt.digest)
			}
		})
	}
}
