package helm

import (
	"crypto/sha256"
	"encoding/hex"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"helm.sh/helm/v3/pkg/release"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// Helm takes release names of at most 53 characters. Flux shortens a longer one to its first 40 characters, a hyphen and
// 12 hex digits of the whole name's SHA-256; another rule would make another release of it.
const (
	maxReleaseName = 53
	nameHashDigits = 12
)

// ReleaseName is the name that a HelmRelease's release has in Helm: spec.releaseName, or [targetNamespace-]name,
// shortened as Flux does.
func ReleaseName(hr *helmv2.HelmRelease) string {
	name := hr.GetReleaseName()
	if len(name) <= maxReleaseName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxReleaseName-nameHashDigits-1] + "-" + hex.EncodeToString(sum[:])[:nameHashDigits]
}

// CRDPolicy is the CRD policy of a HelmRelease for a rendering with these parameters. Unset it is Create, for upgrades
// too: that is what Flux does, though its API documentation says Skip.
func CRDPolicy(hr *helmv2.HelmRelease, p v1alpha1.ReleaseParameters) string {
	policy, skip := hr.GetUpgrade().CRDs, false
	if p.IsInstall {
		policy, skip = hr.GetInstall().CRDs, hr.GetInstall().SkipCRDs
	}
	switch {
	case policy != "":
		return string(policy)
	case skip:
		return CRDsSkip
	default:
		return CRDsCreate
	}
}

// SkipSchema says whether a HelmRelease wants values.schema.json left unchecked, for a rendering with these parameters.
func SkipSchema(hr *helmv2.HelmRelease, p v1alpha1.ReleaseParameters) bool {
	if p.IsInstall {
		return hr.GetInstall().DisableSchemaValidation
	}
	return hr.GetUpgrade().DisableSchemaValidation
}

// IgnoredHooks are the hook events that a HelmRelease disables (disableHooks), for [Input.IgnoreHooks].
func IgnoredHooks(hr *helmv2.HelmRelease) []string {
	var events []string
	if hr.GetInstall().DisableHooks {
		events = append(events, release.HookPreInstall.String(), release.HookPostInstall.String())
	}
	if hr.GetUpgrade().DisableHooks {
		events = append(events, release.HookPreUpgrade.String(), release.HookPostUpgrade.String())
	}
	if hr.GetUninstall().DisableHooks {
		events = append(events, release.HookPreDelete.String(), release.HookPostDelete.String())
	}
	return events
}
