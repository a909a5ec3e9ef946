package plan

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// ChartLayerMediaType is the media type of a Helm chart's layer.
const ChartLayerMediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

// defaultTag is what an OCIRepository asks for that says nothing.
const defaultTag = "latest"

// ValidateOCI says why an OCIRepository cannot be served as it is written; nil if it can. Of the address see oci.Parse.
func ValidateOCI(spec sourcev1.OCIRepositorySpec) *Problem {
	if spec.Interval.Duration <= 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.interval: %s is not a positive duration", spec.Interval.Duration))
	}
	if spec.Timeout != nil && spec.Timeout.Duration <= 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.timeout: %s is not a positive duration", spec.Timeout.Duration))
	}
	if l := spec.LayerSelector; l != nil && !slices.Contains([]string{"", sourcev1.OCILayerExtract, sourcev1.OCILayerCopy}, l.Operation) {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.layerSelector.operation: %q is neither extract nor copy", l.Operation))
	}
	providers := []string{
		"", sourcev1.GenericOCIProvider, sourcev1.AmazonOCIProvider, sourcev1.AzureOCIProvider, sourcev1.GoogleOCIProvider,
	}
	if !slices.Contains(providers, spec.Provider) {
		return terminal(FetchProblem(sourcev1.InvalidProviderConfigurationReason,
			"spec.provider: %q is none of generic, aws, azure and gcp", spec.Provider))
	}
	return validateOCIRef(spec.Reference)
}

func validateOCIRef(ref *sourcev1.OCIRepositoryRef) *Problem {
	switch {
	case ref == nil:
		return nil
	case ref.Digest != "":
		if !isDigest(ref.Digest) {
			return terminal(FetchProblem(sourcev1.OCIPullFailedReason,
				"spec.ref.digest: %q is not sha256: and 64 hexadecimal digits in lower case", ref.Digest))
		}
		return nil
	case ref.SemVer != "":
		_, _, problem := parseRange(ref.SemVer, ref.SemverFilter)
		return problem
	case ref.Tag != "" && !isTag.MatchString(ref.Tag):
		return terminal(FetchProblem(sourcev1.OCIPullFailedReason,
			"spec.ref.tag: %q is not a tag: up to 128 letters, digits, and _ . - after the first", ref.Tag))
	}
	return nil
}

// isTag is what a registry takes for a tag.
var isTag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

func isDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// OCITarget is what an OCIRepository asks for, as far as its spec says.
type OCITarget struct {
	// Digest is set when nothing has to be asked: what it is does not change.
	Digest string
	// Range is set when it depends on which tags there are; Filter is a regular expression for those that count.
	Range, Filter string
	// Tag is set otherwise.
	Tag string
}

// ReadOCIRef finds what a reference asks for, with Flux's precedence: digest, semver, tag, and the tag latest.
func ReadOCIRef(ref *sourcev1.OCIRepositoryRef) OCITarget {
	switch {
	case ref == nil:
		return OCITarget{Tag: defaultTag}
	case ref.Digest != "":
		return OCITarget{Digest: ref.Digest}
	case ref.SemVer != "":
		return OCITarget{Range: ref.SemVer, Filter: ref.SemverFilter}
	case ref.Tag != "":
		return OCITarget{Tag: ref.Tag}
	}
	return OCITarget{Tag: defaultTag}
}

// OCIRevision is how Flux writes an artifact and the tag it was found by, which may be empty.
func OCIRevision(tag, digest string) string {
	if tag == "" {
		return digest
	}
	return tag + "@" + digest
}

// OCIDigestOf is the digest in a revision; empty if there is none.
func OCIDigestOf(revision string) string {
	digest := revision[strings.LastIndexByte(revision, '@')+1:]
	if !isDigest(digest) {
		return ""
	}
	return digest
}

// NewestTag is the tag with the highest version in a range. With chart set the tags are those of a Helm chart, in which _
// stands for the + of a version. The problem's words are about spec.ref of an OCIRepository.
func NewestTag(tags []string, expr, filter string, chart bool) (string, *Problem) {
	constraint, wanted, problem := parseRange(expr, filter)
	if problem != nil {
		return "", problem
	}
	var newest string
	var highest *semver.Version
	for _, tag := range tags {
		v, ok := tagVersion(tag, chart)
		if !ok || !wanted.MatchString(tag) || !isTag.MatchString(tag) || !constraint.Check(v) {
			continue
		}
		// Equal versions, as v1.2.3 and 1.2.3, are told apart by name, so that every attempt picks the same.
		if c := compare(v, highest); c > 0 || c == 0 && tag > newest {
			newest, highest = tag, v
		}
	}
	if highest == nil {
		return "", FetchProblem(sourcev1.ReadOperationFailedReason, "spec.ref.semver: none of %d tags %s", len(tags), unmatched(expr, filter))
	}
	return newest, nil
}

func unmatched(expr, filter string) string {
	if filter == "" {
		return fmt.Sprintf("is a version in the range %q", expr)
	}
	return fmt.Sprintf("is a version in the range %q and matches spec.ref.semverFilter %q", expr, filter)
}

func compare(v, highest *semver.Version) int {
	if highest == nil {
		return 1
	}
	return v.Compare(highest)
}

func tagVersion(tag string, chart bool) (*semver.Version, bool) {
	if chart {
		tag = strings.ReplaceAll(tag, "_", "+")
	}
	v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
	return v, err == nil
}

// maxPattern bounds a regular expression, in bytes.
const maxPattern = 1 << 10

func parseRange(expr, filter string) (*semver.Constraints, *regexp.Regexp, *Problem) {
	constraint, err := semver.NewConstraint(expr)
	if err != nil {
		return nil, nil, terminal(FetchProblem(sourcev1.ReadOperationFailedReason, "spec.ref.semver: %q is not a version range", expr))
	}
	err = errors.New("too long")
	var wanted *regexp.Regexp
	if len(filter) <= maxPattern {
		wanted, err = regexp.Compile(filter)
	}
	if err != nil {
		return nil, nil, terminal(FetchProblem(sourcev1.ReadOperationFailedReason,
			"spec.ref.semverFilter is not a regular expression (RE2) of up to %d bytes", maxPattern))
	}
	return constraint, wanted, nil
}

// SameOCIContent reports whether the stored artifact was made with the rules that the object has now for what goes in.
func SameOCIContent(spec sourcev1.OCIRepositorySpec, status sourcev1.OCIRepositoryStatus) bool {
	a, b := spec.LayerSelector, status.ObservedLayerSelector
	return equal(spec.Ignore, status.ObservedIgnore) && (a == b || a != nil && b != nil && *a == *b)
}

// maxMetadata bounds the annotations of a manifest that a status repeats, in bytes: an object in the cluster has room for
// little more than a megabyte, and a manifest may have more.
const maxMetadata = 64 << 10

// OCIMetadata is what a status says of a manifest's annotations: all of them, or if they are too much, those that Flux and its
// users look at, and of the others the first in the order of their names for which there is room.
func OCIMetadata(annotations map[string]string) map[string]string {
	if len(annotations) == 0 {
		return nil
	}
	keys := make([]string, 0, len(annotations))
	for key := range annotations {
		keys = append(keys, key)
	}
	const standard = "org.opencontainers.image."
	slices.SortFunc(keys, func(a, b string) int {
		if x, y := strings.HasPrefix(a, standard), strings.HasPrefix(b, standard); x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	out, left := map[string]string{}, maxMetadata
	for _, key := range keys {
		if size := len(key) + len(annotations[key]); size <= left {
			out[key], left = annotations[key], left-size
		}
	}
	return out
}
