package controller

import (
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	buckets "github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/config"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// bucketRecords is the folder, inside the storage, of what artifacts of Buckets are made of.
const bucketRecords = ".bucket-records"

// setupBuckets registers the kind Bucket.
func setupBuckets(
	mgr ctrl.Manager, cfg *config.Config, runner attempt.Runner[*sourcev1.Bucket], issuer *identity.Issuer,
) (*buckets.Records, error) {
	dir, err := runner.Store.Folder(bucketRecords)
	if err != nil {
		return nil, err
	}
	records, err := buckets.OpenRecords(dir)
	if err != nil {
		return nil, err
	}
	return records, (&bucket.Reconciler{
		Runner: runner, Secrets: secret.Reader{Live: mgr.GetAPIReader()}, Clouds: issuer, Connections: wire.NewPool(),
		Kept: &buckets.Kept{}, Records: records,
		Limits: buckets.Limits{Bytes: cfg.Storage.MaxBytes, Files: cfg.Storage.MaxFiles},
	}).Setup(mgr, controller.Options{MaxConcurrentReconciles: cfg.Concurrent})
}
