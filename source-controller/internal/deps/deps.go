//go:build sluice_deps

package deps

import (
	_ "cloud.google.com/go/storage"
	_ "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	_ "github.com/ProtonMail/go-crypto/openpgp"
	_ "github.com/fluxcd/pkg/git"
	_ "github.com/minio/minio-go/v7"
	_ "helm.sh/helm/v3/pkg/registry"
	_ "helm.sh/helm/v3/pkg/repo"
)
