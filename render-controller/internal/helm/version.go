package helm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// versionDigits is how many hex digits of a revision's digest become part of a chart's version.
const versionDigits = 12

// ErrVersion says that a chart is not the one that its source announces.
var ErrVersion = errors.New("chart and revision do not fit")

// ErrArchive says that an artifact is no chart.
var ErrArchive = errors.New("could not load chart")

// trackedVersion is the version of a chart from a source whose tags can be moved: what follows a + in it is the beginning
// of the revision's digest, so that a tag that was moved is another version. A tag that is a version has to be the chart's,
// with _ for +, which no tag may have. The rules are Flux's.
func trackedVersion(version, revision string) (string, error) {
	parsed, err := semver.NewVersion(version)
	if err != nil {
		return "", fmt.Errorf("%w: the chart's version %q is no semantic version", ErrVersion, version)
	}
	tag, digest, tagged := strings.Cut(revision, "@")
	if !tagged {
		tag, digest = "", revision
	}
	if wanted, err := semver.NewVersion(strings.ReplaceAll(tag, "_", "+")); err == nil && !wanted.Equal(parsed) {
		return "", fmt.Errorf("%w: artifact revision %s does not match chart version %s: tag the chart with its version, or use another tag",
			ErrVersion, tag, version)
	}
	_, hex, ok := strings.Cut(digest, ":")
	if !ok || len(hex) < versionDigits {
		return "", fmt.Errorf("%w: artifact revision %s has no digest", ErrVersion, revision)
	}
	tracked, err := parsed.SetMetadata(hex[:versionDigits])
	if err != nil {
		return "", fmt.Errorf("%w: artifact revision %s has no digest", ErrVersion, revision)
	}
	return tracked.String(), nil
}
