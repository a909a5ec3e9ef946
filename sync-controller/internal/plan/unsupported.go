package plan

import kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

// Unsupported names the fields of a Kustomization that are set and that Sluice does not serve yet. What concerns building
// alone is render-controller's to refuse.
func Unsupported(ks *kustomizev1.Kustomization) []string {
	var fields []string
	for _, f := range []struct {
		set  bool
		name string
	}{
		{ks.Spec.KubeConfig != nil, "spec.kubeConfig"},
		{len(ks.Spec.Ignore) > 0, "spec.ignore"},
		{ks.Spec.Decryption != nil && ks.Spec.Decryption.ServiceAccountName != "", "spec.decryption.serviceAccountName"},
	} {
		if f.set {
			fields = append(fields, f.name)
		}
	}
	return fields
}
