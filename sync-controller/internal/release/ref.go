package release

import (
	"crypto/sha256"
	"encoding/hex"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

// Helm takes release names of at most 53 characters. Flux shortens a longer one to its first 40 characters, a hyphen and
// 12 hex digits of the whole name's SHA-256; another rule would make another release of it.
const (
	maxName    = 53
	nameDigits = 12
)

// RefOf is the release that the spec asks for.
func RefOf(hr *helmv2.HelmRelease) storage.Ref {
	return storage.Ref{Name: shortened(hr.GetReleaseName()), Namespace: hr.GetReleaseNamespace(), StorageNamespace: hr.GetStorageNamespace()}
}

// RecordedRef is the release that the status speaks of. ok is false when none is recorded.
func RecordedRef(hr *helmv2.HelmRelease) (ref storage.Ref, ok bool) {
	latest := newest(hr)
	if latest == nil || hr.Status.StorageNamespace == "" {
		return storage.Ref{}, false
	}
	return storage.Ref{Name: latest.Name, Namespace: latest.Namespace, StorageNamespace: hr.Status.StorageNamespace}, true
}

// Moved says in words what changed so that the release in status is another one than the spec asks for; empty when it is
// the same. Then the old one has to be uninstalled first.
func Moved(hr *helmv2.HelmRelease, chartName string) string {
	recorded, ok := RecordedRef(hr)
	wanted := RefOf(hr)
	inPlace := hr.GetUpgrade().GetChartNameChangeStrategy() == helmv2.ChartNameChangeStrategyInPlaceUpdate
	switch {
	case !ok:
		return ""
	case recorded.StorageNamespace != wanted.StorageNamespace:
		return "storage namespace"
	case recorded.Namespace != wanted.Namespace:
		return "release namespace"
	case recorded.Name != wanted.Name:
		return "release name"
	case newest(hr).ChartName != chartName && !inPlace:
		return "chart name"
	default:
		return ""
	}
}

// Changed says in words what changed since the last attempt, so that earlier failures count no more; empty when nothing did.
func Changed(hr *helmv2.HelmRelease, rendered storage.Facts) string {
	switch {
	case hr.Status.LastAttemptedGeneration != hr.Generation:
		return "generation differs from last attempt"
	case hr.Status.LastAttemptedRevision != rendered.ChartVersion:
		return "chart version differs from last attempt"
	case hr.Status.LastAttemptedConfigDigest != "" && hr.Status.LastAttemptedConfigDigest != rendered.ConfigDigest:
		return "values differ from last attempt"
	default:
		return ""
	}
}

// NamespaceToCreate is the Namespace that spec.install.createNamespace asks to be there before an install; nil when it
// asks for none. Helm creates it and never deletes it.
func NamespaceToCreate(hr *helmv2.HelmRelease) *corev1.Namespace {
	if !hr.GetInstall().CreateNamespace || hr.Spec.TargetNamespace == "" {
		return nil
	}
	return &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{
			Name: hr.Spec.TargetNamespace, Labels: map[string]string{"name": hr.Spec.TargetNamespace},
		},
	}
}

// newest is the entry of status.history with the highest version; nil without any. It reorders nothing.
func newest(hr *helmv2.HelmRelease) *helmv2.Snapshot {
	var latest *helmv2.Snapshot
	for _, s := range hr.Status.History {
		if s != nil && (latest == nil || s.Version > latest.Version) {
			latest = s
		}
	}
	return latest
}

func shortened(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxName-nameDigits-1] + "-" + hex.EncodeToString(sum[:])[:nameDigits]
}
