package helm

import (
	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// Labels that name the HelmRelease an object comes from, as Flux sets them.
const (
	LabelName      = "helm.toolkit.fluxcd.io/name"
	LabelNamespace = "helm.toolkit.fluxcd.io/namespace"
)

// CRD policies: what becomes of a chart's crds/ folder. Create and CreateReplace mean the same under server-side apply,
// as they do in Flux: the definitions are applied. They are never deleted.
const (
	CRDsSkip          = string(helmv2.Skip)
	CRDsCreate        = string(helmv2.Create)
	CRDsCreateReplace = string(helmv2.CreateReplace)
)

// Capabilities are what .Capabilities says in templates. The zero value is what Helm assumes without a cluster.
type Capabilities struct {
	// KubeVersion is the API server's version, for example v1.36.3; a chart's kubeVersion constraint is checked against it.
	KubeVersion string
	// APIVersions are groups with version, for example apps/v1, and kinds, for example apps/v1/Deployment. Core groups
	// that Helm knows are always there.
	APIVersions []string
}

// Input is everything a rendering depends on. [Render] changes nothing in it.
type Input struct {
	// Chart is a packaged chart (.tgz) whose digest has been verified. When it is nil, ChartPath is read.
	Chart     []byte
	ChartPath string
	// ChartDigest is the digest of the chart's artifact, <algorithm>:<hex>.
	ChartDigest string
	// Revision is that of a source whose tags can be moved: the chart gets a version with the revision's digest in it, as
	// in Flux. It is empty where the chart's version is the revision.
	Revision string

	// ReleaseName and Namespace are Helm's; see [ReleaseName].
	ReleaseName string
	Namespace   string
	// Values override the chart's own; see [Values].
	Values Tree
	// Parameters become .Release.Revision, .IsInstall and .IsUpgrade. They are no part of the identity.
	Parameters v1alpha1.ReleaseParameters
	// CRDs is one of the CRD policies; empty is Create. See [CRDPolicy].
	CRDs string
	// SkipSchema leaves values.schema.json unchecked.
	SkipSchema bool

	// IgnoreHooks are hook events, for example pre-upgrade, that the HelmRelease disables; see [IgnoredHooks].
	IgnoreHooks []string

	// SubjectName and SubjectNamespace name the HelmRelease.
	SubjectName      string
	SubjectNamespace string

	Capabilities Capabilities
}

// Output is a rendered release.
type Output struct {
	// Content holds the release as Helm's storage keeps it, without version, status and times, which are
	// sync-controller's, and the objects to apply: those of crds/ first when the policy asks for them, then the
	// manifest's in Helm's install order. Objects of hooks are only in the release.
	Content rendering.Content
	// Identity are the inputs that say "same release?", in fixed order, for rendering.ComputeTag: chart digest, config
	// digest, release name, namespace, subject. Templates may draw random values, so the output cannot say it. The CRD
	// policy is not among them: it may differ between install and upgrade, and is no reason for an upgrade.
	Identity [][]byte
	// Unsupported lists the hooks that would have to run and cannot yet, for example "Job/migrate: hook pre-install".
	// The caller has to refuse the rendering when it is not empty. Test hooks are not listed: they are recorded, and run
	// only on request. Nor are those of Input.IgnoreHooks and of rollbacks, which are not made.
	Unsupported []string
	// Lookups are the first few kinds, as apiVersion/kind, that templates have looked up in the cluster: they were told that
	// there is none.
	Lookups []string
	// ChartName, ChartVersion and AppVersion are the chart's, for messages.
	ChartName    string
	ChartVersion string
	AppVersion   string
}
