package plan

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
)

// Reasons of HelmChart conditions that Flux's API has no constant for.
const (
	ReasonNoSourceArtifact       = "NoSourceArtifact"
	ReasonSourceUnavailable      = "SourceUnavailable"
	ReasonUnsupportedSourceKind  = "UnsupportedSourceKind"
	ReasonInvalidChartReference  = "InvalidChartReference"
	ReasonValuesFilesError       = "ValuesFilesError"
	ReasonDependencyBuildError   = "DependencyBuildError"
	ReasonChartPackageError      = "ChartPackageError"
	ReasonMetadataPatchError     = "MetadataPatchError"
	ReasonChartPullError         = "ChartPullError"
	ReasonChartVerificationError = "ChartVerificationError"
)

// revisionDigits is how much of a source's revision goes into a chart's version.
const revisionDigits = 12

// ValidateChart says why a HelmChart cannot be served as it is written; nil if it can.
func ValidateChart(spec sourcev1.HelmChartSpec) *Problem {
	kind := spec.SourceRef.Kind
	if !slices.Contains([]string{sourcev1.HelmRepositoryKind, sourcev1.GitRepositoryKind, sourcev1.BucketKind}, kind) {
		return terminal(FetchProblem(ReasonUnsupportedSourceKind,
			"spec.sourceRef.kind: %q is none of HelmRepository, GitRepository and Bucket", kind))
	}
	if spec.Verify != nil && kind != sourcev1.HelmRepositoryKind {
		return terminal(FetchProblem(ReasonInvalidSpec,
			"spec.verify: charts from a %s cannot be verified; remove it", kind))
	}
	if spec.Interval.Duration <= 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.interval: %s is not a positive duration", spec.Interval.Duration))
	}
	if p := validateChartName(spec); p != nil {
		return p
	}
	for _, file := range spec.ValuesFiles {
		if !localPath(file) {
			return terminal(BuildProblem(ReasonValuesFilesError, "spec.valuesFiles: %q is not a file inside the %s", file, inside(spec)))
		}
	}
	return nil
}

func inside(spec sourcev1.HelmChartSpec) string {
	if fromRepository(spec) {
		return "chart"
	}
	return "source"
}

func fromRepository(spec sourcev1.HelmChartSpec) bool {
	return spec.SourceRef.Kind == sourcev1.HelmRepositoryKind
}

// listedName is the name of a chart in a repository. In a registry, it may be a path below the repository's.
var listedName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)

// maxListedName is how long such a name may be, in bytes.
const maxListedName = 250

func validateChartName(spec sourcev1.HelmChartSpec) *Problem {
	switch {
	case fromRepository(spec) && (len(spec.Chart) > maxListedName || !listedName.MatchString(spec.Chart)):
		return terminal(FetchProblem(ReasonInvalidChartReference,
			"spec.chart: %q is not the name of a chart in a HelmRepository: letters, digits, and . _ - after the first", spec.Chart))
	case !fromRepository(spec) && !chartPath(spec.Chart):
		return terminal(BuildProblem(ReasonInvalidChartReference, "spec.chart: %q is not a directory inside the source", spec.Chart))
	}
	return nil
}

// MergedFiles are the values files that a chart is packaged anew with; none if it keeps its own values. A chart of a repository has
// those of its values.yaml anyway.
func MergedFiles(spec sourcev1.HelmChartSpec) []string {
	if fromRepository(spec) && len(spec.ValuesFiles) == 1 && path.Clean(spec.ValuesFiles[0]) == "values.yaml" {
		return nil
	}
	return spec.ValuesFiles
}

// Packaged reports whether a chart is packaged here, rather than stored as a repository serves it.
func Packaged(spec sourcev1.HelmChartSpec) bool {
	return !fromRepository(spec) || len(MergedFiles(spec)) > 0
}

// ChartObserved is everything that decides about a HelmChart. What is upstream of it is the revision of its source.
type ChartObserved struct {
	Observed

	// Generation and Status are the object's.
	Generation int64
	Status     sourcev1.HelmChartStatus
	// Wanted is the version that the chart is to have; empty if the source has to be looked into to know.
	Wanted string
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
	case o.Upstream != o.Status.ObservedSourceArtifactRevision, o.Wanted != "" && o.Wanted != o.Artifact.Revision:
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
			"chart %q: its version %q is not a semantic version", spec.Chart, version))
	}
	var metadata []string
	if spec.ReconcileStrategy == sourcev1.ReconcileStrategyRevision && !fromRepository(spec) {
		metadata = append(metadata, revisionPrefix(sourceRevision))
	}
	if len(MergedFiles(spec)) > 0 {
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

// ExactTag is the tag of a chart's version in a registry, if a spec names that rather than a range. In a tag, _ stands for +.
func ExactTag(asked string) (tag string, ok bool) {
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(asked, "v")); err != nil {
		return "", false
	}
	return strings.ReplaceAll(asked, "+", "_"), true
}

// NewestChart is the tag of the newest version of a chart in a range, and the version that it stands for. Without a range, and for
// "*", that is the newest stable one.
func NewestChart(tags []string, asked string) (tag, version string, _ *Problem) {
	if asked == "" {
		asked = "*"
	}
	if slices.Contains(tags, asked) && isTag.MatchString(asked) {
		return asked, strings.ReplaceAll(asked, "_", "+"), nil
	}
	constraint, err := semver.NewConstraint(asked)
	if err != nil {
		return "", "", terminal(FetchProblem(ReasonInvalidChartReference, "spec.version: %q is neither a version nor a range of versions", asked))
	}
	var newest *semver.Version
	var others []*semver.Version
	for _, t := range tags {
		v, ok := tagVersion(t, true)
		switch {
		case !ok || !isTag.MatchString(t):
		case !constraint.Check(v):
			others = append(others, v)
		case newest == nil || v.GreaterThan(newest) || v.Equal(newest) && t > tag:
			newest, tag = v, t
		}
	}
	if newest == nil {
		return "", "", FetchProblem(ReasonChartPullError, "spec.version: none of %d tags is a version in the range %q; %s", len(tags), asked, newestOf(others))
	}
	return tag, strings.ReplaceAll(tag, "_", "+"), nil
}

// newestOf says which versions there are.
func newestOf(versions []*semver.Version) string {
	const listed = 3
	if len(versions) == 0 {
		return "none is a version"
	}
	slices.SortFunc(versions, func(a, b *semver.Version) int { return b.Compare(a) })
	var names []string
	for _, v := range versions[:min(len(versions), listed)] {
		names = append(names, v.Original())
	}
	return "the newest are " + strings.Join(names, ", ")
}
