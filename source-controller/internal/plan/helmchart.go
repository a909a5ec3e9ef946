package plan

import (
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
)

// Reasons of HelmChart conditions that Flux's API has no constant for.
const (
	ReasonNoSourceArtifact      = "NoSourceArtifact"
	ReasonSourceUnavailable     = "SourceUnavailable"
	ReasonUnsupportedSourceKind = "UnsupportedSourceKind"
	ReasonInvalidChartReference = "InvalidChartReference"
	ReasonValuesFilesError      = "ValuesFilesError"
	ReasonDependencyBuildError  = "DependencyBuildError"
	ReasonChartPackageError     = "ChartPackageError"
	ReasonMetadataPatchError    = "MetadataPatchError"
)

// revisionDigits is how much of a source's revision goes into a chart's version.
const revisionDigits = 12

// ValidateChart says why a HelmChart cannot be served as it is written; nil if it can.
func ValidateChart(spec sourcev1.HelmChartSpec) *Problem {
	if kind := spec.SourceRef.Kind; kind != sourcev1.GitRepositoryKind {
		return terminal(FetchProblem(ReasonUnsupportedSourceKind,
			"spec.sourceRef.kind: charts from a %s are not served; use a GitRepository", kind))
	}
	if spec.Verify != nil {
		return terminal(FetchProblem(ReasonInvalidSpec,
			"spec.verify: charts from a GitRepository cannot be verified; remove it"))
	}
	if spec.Interval.Duration <= 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.interval: %s is not a positive duration", spec.Interval.Duration))
	}
	if !chartPath(spec.Chart) {
		return terminal(BuildProblem(ReasonInvalidChartReference,
			"spec.chart: %q is not a directory inside the source", spec.Chart))
	}
	for _, file := range spec.ValuesFiles {
		if !localPath(file) {
			return terminal(BuildProblem(ReasonValuesFilesError, "spec.valuesFiles: %q is not a file inside the source", file))
		}
	}
	return nil
}

// ChartObserved is everything that decides about a HelmChart. What is upstream of it is the revision of its source.
type ChartObserved struct {
	Observed

	// Generation and Status are the object's.
	Generation int64
	Status     sourcev1.HelmChartStatus
}

// DecideChart picks the step. A source's new revision may hold the chart of the last.
func DecideChart(o ChartObserved) Decision {
	switch {
	case o.Suspended:
		return Decision{Rest, RuleSuspended}
	case o.Problem != nil:
		return Decision{Fail, RuleProblem}
	case !o.Stored, o.Artifact == nil:
		return Decision{Build, RuleNotStored}
	case RebuildChart(o):
		return Decision{Build, RuleContentRulesChanged}
	case o.Upstream != o.Status.ObservedSourceArtifactRevision:
		return Decision{Build, RuleRevisionMoved}
	}
	return Decision{Keep, RuleUpToDate}
}

// RebuildChart reports whether the chart must be packaged even if its version did not change: it is not stored, or was made
// for another spec. The status' observed generation does not tell, since it moves when an object stalls, too.
func RebuildChart(o ChartObserved) bool {
	made := apimeta.FindStatusCondition(o.Status.Conditions, sourcev1.ArtifactInStorageCondition)
	return !o.Stored || o.Artifact == nil || made == nil || made.ObservedGeneration != o.Generation
}

// ChartVersion is the version that a chart is packaged with, as Flux writes it: the version in Chart.yaml, with the
// first digits of the source's revision (strategy Revision) and the object's generation (with values files) as build
// metadata.
func ChartVersion(spec sourcev1.HelmChartSpec, generation int64, version, sourceRevision string) (string, *Problem) {
	v, err := semver.NewVersion(version)
	if err != nil {
		return "", terminal(BuildProblem(ReasonInvalidChartReference,
			"Chart.yaml of %q: version %q is not a semantic version", spec.Chart, version))
	}
	var metadata []string
	if spec.ReconcileStrategy == sourcev1.ReconcileStrategyRevision {
		metadata = append(metadata, revisionPrefix(sourceRevision))
	}
	if len(spec.ValuesFiles) > 0 {
		metadata = append(metadata, strconv.FormatInt(generation, 10))
	}
	if len(metadata) == 0 {
		return version, nil
	}
	full, err := v.SetMetadata(strings.Join(metadata, "."))
	if err != nil {
		return "", terminal(BuildProblem(ReasonMetadataPatchError,
			"version %q with the metadata %q is not a semantic version", version, strings.Join(metadata, ".")))
	}
	return full.String(), nil
}

func revisionPrefix(revision string) string {
	hash := revision
	if i := strings.LastIndexByte(hash, ':'); i >= 0 {
		hash = hash[i+1:]
	}
	return hash[:min(len(hash), revisionDigits)]
}
