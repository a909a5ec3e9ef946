package release

import (
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

func helmRelease(change func(*helmv2.HelmRelease)) *helmv2.HelmRelease {
	hr := &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "team"}}
	if change != nil {
		change(hr)
	}
	return hr
}

func refTo(name, namespace, storageNamespace string) storage.Ref {
	return storage.Ref{Name: name, Namespace: namespace, StorageNamespace: storageNamespace}
}

func TestRefOf(t *testing.T) {
	tests := map[string]struct {
		reason string
		change func(*helmv2.HelmRelease)
		want   storage.Ref
	}{
		"plain":   {"everything is where the HelmRelease is", nil, refTo("web", "team", "team")},
		"target":  {"a target namespace is part of the name", func(h *helmv2.HelmRelease) { h.Spec.TargetNamespace = "apps" }, refTo("apps-web", "apps", "team")},
		"named":   {"a given name is taken as it is", func(h *helmv2.HelmRelease) { h.Spec.TargetNamespace, h.Spec.ReleaseName = "apps", "shop" }, refTo("shop", "apps", "team")},
		"storage": {"records may be elsewhere", func(h *helmv2.HelmRelease) { h.Spec.StorageNamespace = "helm" }, refTo("web", "team", "helm")},
		"long": {
			"a long name is shortened as by Flux (the figure is its own)",
			func(h *helmv2.HelmRelease) {
				h.Spec.ReleaseName = "a-very-long-target-namespace-for-a-release-a-very-long-release-name"
			},
			refTo("a-very-long-target-namespace-for-a-relea-4014b7b2cd35", "team", "team"),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, RefOf(helmRelease(tt.change))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestMoved(t *testing.T) {
	recorded := func(h *helmv2.HelmRelease) {
		h.Status.StorageNamespace = "team"
		h.Status.History = helmv2.Snapshots{
			{Name: "old", Namespace: "team", Version: 1, ChartName: "www"},
			{Name: "web", Namespace: "team", Version: 2, ChartName: "web"},
		}
	}
	tests := map[string]struct {
		reason string
		change func(*helmv2.HelmRelease)
		want   string
	}{
		"new":       {"nothing is recorded", func(h *helmv2.HelmRelease) { h.Status = helmv2.HelmReleaseStatus{} }, ""},
		"same":      {"nothing changed", func(*helmv2.HelmRelease) {}, ""},
		"name":      {"another name", func(h *helmv2.HelmRelease) { h.Spec.ReleaseName = "shop" }, "release name"},
		"namespace": {"another namespace", func(h *helmv2.HelmRelease) { h.Spec.TargetNamespace, h.Spec.ReleaseName = "apps", "web" }, "release namespace"},
		"storage":   {"another storage", func(h *helmv2.HelmRelease) { h.Spec.StorageNamespace = "helm" }, "storage namespace"},
		"chart":     {"another chart is installed anew", func(h *helmv2.HelmRelease) { h.Status.History[1].ChartName = "www" }, "chart name"},
		"in place": {"unless it is wanted in place", func(h *helmv2.HelmRelease) {
			h.Status.History[1].ChartName = "www"
			h.Spec.Upgrade = &helmv2.Upgrade{ChartNameChangeStrategy: helmv2.ChartNameChangeStrategyInPlaceUpdate}
		}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			hr := helmRelease(recorded)
			tt.change(hr)
			if got := Moved(hr, "web"); got != tt.want {
				t.Errorf("%s: got %q, want %q", tt.reason, got, tt.want)
			}
		})
	}
}

func TestChanged(t *testing.T) {
	attempted := func(h *helmv2.HelmRelease) {
		h.Generation = 4
		h.Status.LastAttemptedGeneration, h.Status.LastAttemptedRevision, h.Status.LastAttemptedConfigDigest = 4, "1.0.0", "sha256:c"
	}
	for name, tt := range map[string]struct {
		change func(*helmv2.HelmRelease)
		want   string
	}{
		"nothing":    {func(*helmv2.HelmRelease) {}, ""},
		"generation": {func(h *helmv2.HelmRelease) { h.Generation = 5 }, "generation"},
		"chart":      {func(h *helmv2.HelmRelease) { h.Status.LastAttemptedRevision = "0.9.0" }, "chart version"},
		"values":     {func(h *helmv2.HelmRelease) { h.Status.LastAttemptedConfigDigest = "sha256:d" }, "values"},
	} {
		t.Run(name, func(t *testing.T) {
			hr := helmRelease(attempted)
			tt.change(hr)
			got := Changed(hr, storage.Facts{ChartVersion: "1.0.0", ConfigDigest: "sha256:c"})
			if !strings.HasPrefix(got, tt.want) || (tt.want == "") != (got == "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNamespaceToCreate(t *testing.T) {
	asked := helmRelease(func(h *helmv2.HelmRelease) {
		h.Spec.TargetNamespace, h.Spec.Install = "apps", &helmv2.Install{CreateNamespace: true}
	})
	if got := NamespaceToCreate(asked); got == nil || got.Name != "apps" || got.Labels["name"] != "apps" {
		t.Errorf("got %+v, want Namespace apps, labelled as Helm does", got)
	}
	if got := NamespaceToCreate(helmRelease(nil)); got != nil {
		t.Errorf("got %+v, want none: nobody asked", got)
	}
}
