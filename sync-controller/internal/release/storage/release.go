package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	helm "helm.sh/helm/v3/pkg/release"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// Release is a release as Helm's storage keeps it: a record that was read, or the one that render-controller made and that
// is not recorded yet. It does not change; methods of [Storage] return new ones. It holds the manifest with its Secrets:
// never log or print it. [Release.Facts] are fit for messages.
type Release struct {
	record *helm.Release
}

// Parse reads the release that a rendering holds (rendering.Content.Release).
func Parse(raw json.RawMessage) (*Release, error) {
	var record helm.Release
	if err := json.Unmarshal(raw, &record); err != nil {
		// The decoder's text may quote the record: it is left out.
		return nil, errors.New("decode release of rendering: not a Helm release")
	}
	r := &Release{record: &record}
	if record.Name == "" || record.Namespace == "" || r.chart().Name == "" {
		return nil, errors.New("decode release of rendering: name, namespace or chart is missing")
	}
	if record.Info == nil {
		record.Info = &helm.Info{}
	}
	return r, nil
}

// Facts are what decisions and messages need.
func (r *Release) Facts() Facts {
	return Facts{
		Name: r.record.Name, Namespace: r.record.Namespace, Version: r.record.Version, Status: r.status(),
		ChartName: r.chart().Name, ChartVersion: r.chart().Version,
		ConfigDigest: ConfigDigest(r.record.Config), Digest: r.Digest(""), Recorded: r.sealed(),
	}
}

// Version is the number in storage, from 1; 0 when the release is not recorded.
func (r *Release) Version() int { return r.record.Version }

// FullName is <namespace>/<name>.v<version>, as Flux's messages have it.
func (r *Release) FullName() string {
	return fmt.Sprintf("%s/%s.v%d", r.record.Namespace, r.record.Name, r.record.Version)
}

// AppVersion is the chart's appVersion.
func (r *Release) AppVersion() string { return r.chart().AppVersion }

func (r *Release) status() Status { return Status(r.record.Info.Status) }

func (r *Release) chart() chart.Metadata {
	if r.record.Chart == nil || r.record.Chart.Metadata == nil {
		return chart.Metadata{}
	}
	return *r.record.Chart.Metadata
}

// with is a copy with another status and description.
func (r *Release) with(status Status, description string) *Release {
	record, info := *r.record, *r.record.Info
	info.Status, info.Description = helm.Status(status), description
	record.Info = &info
	return &Release{record: &record}
}

// Pending says whether an operation on the release is under way, or was when somebody crashed.
func (s Status) Pending() bool { return strings.HasPrefix(string(s), "pending-") }

// Gone says whether nothing is installed any more.
func (s Status) Gone() bool { return s == StatusUninstalled || s == StatusUninstalling }

// Next are the parameters that the next rendering has to be made with, given the newest record (nil without any).
func Next(latest *Release) v1alpha1.ReleaseParameters {
	if latest == nil {
		return NextAfter(nil)
	}
	return NextAfter(&Facts{Version: latest.record.Version, Status: latest.status()})
}

// NextAfter are the same, given what is known of the newest record.
func NextAfter(latest *Facts) v1alpha1.ReleaseParameters {
	if latest == nil {
		return v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}
	}
	return v1alpha1.ReleaseParameters{Revision: latest.Version + 1, IsInstall: latest.Status.Gone()}
}
