//go:build sluice_deps

package deps

import (
	_ "github.com/ProtonMail/go-crypto/openpgp"
	_ "github.com/fluxcd/pkg/git"
	_ "helm.sh/helm/v3/pkg/registry"
	_ "helm.sh/helm/v3/pkg/repo"
)
