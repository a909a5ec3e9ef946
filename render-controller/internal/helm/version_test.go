package helm

import (
	"errors"
	"strings"
	"testing"
)

func TestTrackedVersion(t *testing.T) {
	const digest = "sha256:0123456789abcdef"
	tests := map[string]struct {
		reason            string
		version, revision string
		want, fails       string
	}{
		"tag":          {"the digest's beginning is added", "1.2.3", "1.2.3@" + digest, "1.2.3+0123456789ab", ""},
		"replaced":     {"what stood behind the + goes, as in Flux", "1.2.3+build", "latest@" + digest, "1.2.3+0123456789ab", ""},
		"underscore":   {"no tag may have a +", "1.2.3+build", "1.2.3_build@" + digest, "1.2.3+0123456789ab", ""},
		"prerelease":   {"it stays", "1.2.3-rc.1", "1.2.3-rc.1@" + digest, "1.2.3-rc.1+0123456789ab", ""},
		"leading v":    {"versions are compared, not their spelling", "1.2.3", "v1.2.3@" + digest, "1.2.3+0123456789ab", ""},
		"pinned":       {"no tag at all", "1.2.3", digest, "1.2.3+0123456789ab", ""},
		"other":        {"the tag promises another", "1.2.3", "1.2.4@" + digest, "", "1.2.4 does not match chart version 1.2.3"},
		"no version":   {"charts have semantic versions", "latest", "latest@" + digest, "", "no semantic version"},
		"no digest":    {"nothing to add", "1.2.3", "1.2.3", "", "has no digest"},
		"short":        {"too little to tell by", "1.2.3", "1.2.3@sha256:012345", "", "has no digest"},
		"not metadata": {"a version takes letters and digits there", "1.2.3", "latest@sha256:0123456789_/", "", "has no digest"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := trackedVersion(tt.version, tt.revision)
			if got != tt.want || (err != nil) != (tt.fails != "") || (err != nil && (!errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), tt.fails))) {
				t.Errorf("%s: %q, %v; want %q, %q", tt.reason, got, err, tt.want, tt.fails)
			}
		})
	}
}

func FuzzTrackedVersion(f *testing.F) {
	f.Add("1.2.3", "1.2.3@sha256:0123456789abcdef")
	f.Add("1.2.3+build", "sha256:0123456789abcdef")
	f.Fuzz(func(t *testing.T, version, revision string) {
		got, err := trackedVersion(version, revision)
		if (err == nil) != strings.Contains(got, "+") || (err != nil && !errors.Is(err, ErrVersion)) {
			t.Errorf("%q of %q: %q, %v", version, revision, got, err)
		}
	})
}
