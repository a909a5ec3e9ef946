package controller

import (
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	buckets "github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/bucket"
)

// bucketRecords is the folder, inside the storage, of what artifacts of Buckets are made of.
const bucketRecords = ".bucket-records"

// setupBuckets registers the kind Bucket.
func setupBuckets(s *shared) (*buckets.Records, error) {
	dir, err := s.files.Folder(bucketRecords)
	if err != nil {
		return nil, err
	}
	records, err := buckets.OpenRecords(dir)
	if err != nil {
		return nil, err
	}
	return records, (&bucket.Reconciler{
		Runner:  runner[*sourcev1.Bucket](s, sourcev1.BucketKind),
		Secrets: s.secrets, Clouds: s.issuer, Connections: s.connections,
		Kept: &buckets.Kept{}, Records: records,
		Limits: buckets.Limits{Bytes: s.cfg.Storage.MaxBytes, Files: s.cfg.Storage.MaxFiles},
	}).Setup(s.mgr, s.options())
}
