package release

import (
	"encoding/json"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

// TestTakenOverFromAnOCIRepository: Flux's digest of a release covers the digest that its chart came from, which only the
// snapshot tells. Without it the release would count as somebody else's, and be upgraded on takeover.
func TestTakenOverFromAnOCIRepository(t *testing.T) {
	latest, err := storage.Parse(json.RawMessage(`{"name":"web","namespace":"apps","version":3,"info":{"status":"deployed"},
		"chart":{"metadata":{"name":"web","version":"1.0.0+111111111111"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	hr := &helmv2.HelmRelease{}
	hr.Status.History = helmv2.Snapshots{latest.Snapshot("install", "sha256:111111111111aaaa")}
	h := helm{World: World{Render: func() *v1alpha1.Render { return nil }, Attempt: &attempt.Attempt{}, Memory: &Memory{}}, hr: hr}
	state := h.state(latest, latest)
	if state.Latest.Recorded || !state.managed() {
		t.Errorf("digest %s, observed %s", state.Latest.Digest, hr.Status.History[0].Digest)
	}
	hr.Status.History[0].OCIDigest = ""
	if h.state(latest, latest).managed() {
		t.Error("another digest is taken for the same")
	}
}
