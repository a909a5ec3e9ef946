package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/google/go-cmp/cmp"
	helm "helm.sh/helm/v3/pkg/release"
)

// The golden snapshots were made from the records beside them by helm-controller 1.6.4 itself (Helm 4).
func TestSnapshotIsFluxs(t *testing.T) {
	records, err := filepath.Glob("testdata/*.release.json")
	if err != nil || len(records) == 0 {
		t.Fatalf("no records: %v", err)
	}
	for _, path := range records {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var record helm.Release
			decodeFile(t, path, &record)
			var want helmv2.Snapshot
			decodeFile(t, strings.TrimSuffix(path, ".release.json")+".snapshot.json", &want)
			got := (&Release{record: &record}).Snapshot("", want.OCIDigest)
			if diff := cmp.Diff(encode(t, &want), encode(t, got)); diff != "" {
				t.Errorf("snapshot differs from Flux's (-flux +ours):\n%s", diff)
			}
		})
	}
}

// TestDigestCoversTheOCIDigest: it is the last thing that Flux's digest covers, and not there when there is none.
func TestDigestCoversTheOCIDigest(t *testing.T) {
	var record helm.Release
	records, err := filepath.Glob("testdata/*.release.json")
	if err != nil || len(records) == 0 {
		t.Fatalf("no records: %v", err)
	}
	decodeFile(t, records[0], &record)
	r := &Release{record: &record}
	plain, err := json.Marshal(r.observe(""))
	if err != nil {
		t.Fatal(err)
	}
	with := strings.TrimSuffix(string(plain), "}") + `,"ociDigest":"sha256:1111"}` + "\n"
	sum := sha256.Sum256([]byte(with))
	snapshot := r.Snapshot("install", "sha256:1111")
	if want := "sha256:" + hex.EncodeToString(sum[:]); snapshot.Digest != want || snapshot.OCIDigest != "sha256:1111" || r.Digest("") == want {
		t.Errorf("snapshot %+v, want digest %s", snapshot, want)
	}
}

func decodeFile(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestConfigDigest(t *testing.T) {
	tests := map[string]struct {
		reason string
		values map[string]any
		want   string
	}{
		"none":  {"no values are digested as nothing at all", nil, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"empty": {"an empty map is no values", map[string]any{}, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"sorted": {
			"keys are sorted at every depth, in lists too; the figure is from Flux's own tests",
			map[string]any{
				"replicas": 3,
				"image":    map[string]any{"tag": "latest", "repository": "nginx"},
				"ports": []any{
					map[string]any{"protocol": "TCP", "port": 8080}, map[string]any{"port": 9090, "protocol": "UDP"},
				},
			},
			"sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6",
		},
		"from JSON": {
			"numbers decoded from JSON digest as integers do",
			map[string]any{
				"replicas": float64(3),
				"image":    map[string]any{"tag": "latest", "repository": "nginx"},
				"ports": []any{
					map[string]any{"protocol": "TCP", "port": float64(8080)}, map[string]any{"port": float64(9090), "protocol": "UDP"},
				},
			},
			"sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6",
		},
		"digits": {
			"keys that look like numbers are sorted as text",
			map[string]any{
				"replicas": 3,
				"test": map[string]any{
					"632bd80235a05f4192aefade": "value1", "632bd80ddf416cf32fd50679": "value2",
					"632bd817c559818a52307da2": "value3", "632bd82398e71231a98004b6": "value4",
				},
			},
			"sha256:8a980fcbeadd6f05818f07e8aec14070c22250ca3d96af1fcd5f93b3e85b4d70",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ConfigDigest(tt.values); got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.reason, got, tt.want)
			}
		})
	}
}

func TestRemember(t *testing.T) {
	entry := func(name string, version int, status Status) *helmv2.Snapshot {
		return &helmv2.Snapshot{Name: name, Namespace: "apps", Version: version, Status: string(status)}
	}
	tests := map[string]struct {
		reason  string
		history helmv2.Snapshots
		entry   *helmv2.Snapshot
		want    []string
	}{
		"first":    {"an empty history takes it", nil, entry("web", 1, StatusPendingInstall), []string{"1 pending-install"}},
		"replaced": {"an entry of the same version is the same release", helmv2.Snapshots{entry("web", 1, StatusPendingInstall)}, entry("web", 1, StatusDeployed), []string{"1 deployed"}},
		"superseded": {
			"only one is deployed, and only what a rollback needs is kept",
			helmv2.Snapshots{entry("web", 3, StatusPendingUpgrade), entry("web", 2, StatusDeployed), entry("web", 1, StatusSuperseded)},
			entry("web", 3, StatusDeployed), []string{"3 deployed", "2 superseded"},
		},
		"failed": {
			"a failure leaves the deployed one deployed",
			helmv2.Snapshots{entry("web", 2, StatusDeployed)}, entry("web", 3, StatusFailed), []string{"3 failed", "2 deployed"},
		},
		"moved": {"entries of a release that was moved away from go", helmv2.Snapshots{entry("old", 9, StatusDeployed)}, entry("web", 1, StatusDeployed), []string{"1 deployed"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range Remember(tt.history, tt.entry) {
				got = append(got, encodeShort(s))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func encodeShort(s *helmv2.Snapshot) string {
	raw, _ := json.Marshal(s.Version)
	return string(raw) + " " + s.Status
}
