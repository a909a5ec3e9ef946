package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sort"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	goyaml "go.yaml.in/yaml/v2"
	"helm.sh/helm/v3/pkg/chart"
	helm "helm.sh/helm/v3/pkg/release"
	helmtime "helm.sh/helm/v3/pkg/time"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const sha256Prefix = "sha256:"

// observed is what Flux's digest of a release covers (snapshots of apiVersion v2): in this order, with these names, as Go
// encodes JSON, ended by a newline. Times that are zero are left out; test hooks do not count.
type observed struct {
	Name          string         `json:"name"`
	Version       int            `json:"version"`
	Info          observedInfo   `json:"info"`
	ChartMetadata chart.Metadata `json:"chartMetadata"`
	Config        map[string]any `json:"config"`
	Manifest      string         `json:"manifest"`
	Hooks         []observedHook `json:"hooks"`
	Namespace     string         `json:"namespace"`
	OCIDigest     string         `json:"ociDigest,omitempty"`
}

type observedInfo struct {
	FirstDeployed *time.Time  `json:"first_deployed,omitempty"`
	LastDeployed  *time.Time  `json:"last_deployed,omitempty"`
	Deleted       *time.Time  `json:"deleted,omitempty"`
	Description   string      `json:"description,omitempty"`
	Status        helm.Status `json:"status,omitempty"`
	Notes         string      `json:"notes,omitempty"`
}

type observedHook struct {
	Name              string                     `json:"name,omitempty"`
	Kind              string                     `json:"kind,omitempty"`
	Path              string                     `json:"path,omitempty"`
	Manifest          string                     `json:"manifest,omitempty"`
	Events            []helm.HookEvent           `json:"events,omitempty"`
	LastRun           observedRun                `json:"last_run"`
	Weight            int                        `json:"weight,omitempty"`
	DeletePolicies    []helm.HookDeletePolicy    `json:"delete_policies,omitempty"`
	OutputLogPolicies []helm.HookOutputLogPolicy `json:"output_log_policies,omitempty"`
}

type observedRun struct {
	StartedAt   *time.Time     `json:"started_at,omitempty"`
	CompletedAt *time.Time     `json:"completed_at,omitempty"`
	Phase       helm.HookPhase `json:"phase"`
}

// Digest is Flux's digest of the release, sha256:<hex>. It covers the digest of the OCI artifact that the chart came from,
// which no record has: it is in the snapshot.
func (r *Release) Digest(ociDigest string) string {
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode(r.observe(ociDigest)); err != nil {
		return "" // matches no record: the release counts as unmanaged
	}
	return sha256Prefix + hex.EncodeToString(sum.Sum(nil))
}

func (r *Release) observe(ociDigest string) observed {
	o := observed{
		Name: r.record.Name, Version: r.record.Version, ChartMetadata: r.chart(),
		Manifest: r.record.Manifest, Namespace: r.record.Namespace, OCIDigest: ociDigest,
		Info: observedInfo{
			FirstDeployed: stamp(r.record.Info.FirstDeployed), LastDeployed: stamp(r.record.Info.LastDeployed),
			Deleted: stamp(r.record.Info.Deleted), Description: r.record.Info.Description,
			Status: r.record.Info.Status, Notes: r.record.Info.Notes,
		},
	}
	if len(r.record.Config) > 0 {
		o.Config = r.record.Config
	}
	for _, hook := range r.record.Hooks {
		if hook != nil && !slices.Contains(hook.Events, helm.HookTest) {
			o.Hooks = append(o.Hooks, observedHook{
				Name: hook.Name, Kind: hook.Kind, Path: hook.Path, Manifest: hook.Manifest, Events: hook.Events,
				LastRun: observedRun{
					StartedAt: stamp(hook.LastRun.StartedAt), CompletedAt: stamp(hook.LastRun.CompletedAt), Phase: hook.LastRun.Phase,
				},
				Weight: hook.Weight, DeletePolicies: hook.DeletePolicies, OutputLogPolicies: hook.OutputLogPolicies,
			})
		}
	}
	return o
}

func stamp(t helmtime.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t.Time
}

// ConfigDigest is Flux's digest of values, sha256:<hex>: over their YAML with keys sorted, and over nothing when there are
// none. Values are as decoded from JSON.
func ConfigDigest(values map[string]any) string {
	sum := sha256.New()
	if len(values) > 0 {
		sorted := yaml.JSONObjectToYAMLObject(values)
		sortKeys(sorted)
		encoder := goyaml.NewEncoder(sum)
		if err := encoder.Encode(sorted); err != nil {
			return ""
		}
	}
	return sha256Prefix + hex.EncodeToString(sum.Sum(nil))
}

func sortKeys(v any) {
	switch v := v.(type) {
	case goyaml.MapSlice:
		sort.Slice(v, func(i, j int) bool {
			a, _ := v[i].Key.(string)
			b, _ := v[j].Key.(string)
			return a < b
		})
		for _, item := range v {
			sortKeys(item.Value)
		}
	case []any:
		for _, item := range v {
			sortKeys(item)
		}
	}
}

// Snapshot is the entry of status.history for a record, with the action that made it, and the digest of the OCI artifact that
// the chart came from, if it did.
func (r *Release) Snapshot(action helmv2.ReleaseAction, ociDigest string) *helmv2.Snapshot {
	facts, info := r.Facts(), r.record.Info
	return &helmv2.Snapshot{
		APIVersion: helmv2.CurrentSnapshotAPIVersion,
		Digest:     r.Digest(ociDigest), Name: facts.Name, Namespace: facts.Namespace, Version: facts.Version,
		Status: string(facts.Status), Action: action,
		ChartName: facts.ChartName, ChartVersion: facts.ChartVersion, AppVersion: r.AppVersion(),
		ConfigDigest:  facts.ConfigDigest,
		OCIDigest:     ociDigest,
		FirstDeployed: metav1.NewTime(info.FirstDeployed.Time),
		LastDeployed:  metav1.NewTime(info.LastDeployed.Time),
		Deleted:       metav1.NewTime(info.Deleted.Time),
	}
}

// Remember puts a snapshot into status.history: in the place of an older one of the same release and version, the newest
// first, and only as many as a rollback could need, as Flux keeps them.
func Remember(history helmv2.Snapshots, snapshot *helmv2.Snapshot) helmv2.Snapshots {
	kept := helmv2.Snapshots{snapshot}
	for _, s := range history {
		if s == nil || s.Targets(snapshot.Name, snapshot.Namespace, snapshot.Version) ||
			s.Name != snapshot.Name || s.Namespace != snapshot.Namespace {
			continue
		}
		older := s.DeepCopy()
		if snapshot.Status == string(StatusDeployed) && older.Status == string(StatusDeployed) {
			older.Status = string(StatusSuperseded)
		}
		kept = append(kept, older)
	}
	kept.Truncate(true)
	return kept
}
