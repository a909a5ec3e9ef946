package controller

import (
	"errors"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// TestSourcesThatAreDenied: the rules hold for every kind, before anything is read.
func TestSourcesThatAreDenied(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := sourcev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	there := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&sourcev1.ExternalArtifact{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "app"}},
		&sourcev1.OCIRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "app"}},
	).Build()
	tests := map[string]struct {
		reason  string
		rules   sources
		kind    string
		problem string
		message string
	}{
		"allowed":         {"nothing forbids it", sources{}, "OCIRepository", "", ""},
		"other namespace": {"references stay in their namespace", sources{access: access.Checker{NoCrossNamespace: true}}, "OCIRepository", "AccessDenied", "OCIRepository other/app is outside namespace apps"},
		"gate":            {"the operator closed it", sources{refuseExternal: true}, "ExternalArtifact", "AccessDenied", "ExternalArtifact feature gate is disabled"},
		"gate, others":    {"it is about one kind", sources{refuseExternal: true}, "OCIRepository", "", ""},
		"gate, open":      {"as it is when nobody says anything", sources{}, "ExternalArtifact", "", ""},
		"kind":            {"a HelmRepository has an index", sources{}, "HelmRepository", "ArtifactFailed", "use one of GitRepository, OCIRepository, Bucket, ExternalArtifact"},
		"not here":        {"a chart is no tree of manifests", sources{}, "HelmChart", "ArtifactFailed", "nothing can be made from a HelmChart"},
		"missing":         {"nobody made it", sources{}, "Bucket", "ArtifactFailed", "Bucket 'other/app' not found"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.rules.cached, tt.rules.live = there, there
			o := &observation{source: v1alpha1.Source{Kind: tt.kind, Namespace: "other", Name: "app"}}
			o.name.Namespace = "apps"
			_, err := tt.rules.read(t.Context(), o, "spec.sourceRef", manifestSources())
			var known *problem
			switch {
			case tt.problem == "" && err != nil:
				t.Errorf("%s: %v", tt.reason, err)
			case tt.problem != "" && (!errors.As(err, &known) || known.Reason != tt.problem || !strings.Contains(known.Message, tt.message)):
				t.Errorf("%s: %v, want %s: %s", tt.reason, err, tt.problem, tt.message)
			}
		})
	}
}
