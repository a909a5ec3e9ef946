package storage

// Ref says which release a HelmRelease means, and where its records are.
type Ref struct {
	Name             string
	Namespace        string
	StorageNamespace string
}

// String is <namespace>/<name>, as Flux's messages have it.
func (r Ref) String() string { return r.Namespace + "/" + r.Name }

// Status is a release's state in Helm's storage.
type Status string

// The states that are written here. Others are Helm's own and only read.
const (
	StatusPendingInstall Status = "pending-install"
	StatusPendingUpgrade Status = "pending-upgrade"
	StatusDeployed       Status = "deployed"
	StatusSuperseded     Status = "superseded"
	StatusFailed         Status = "failed"
	StatusUninstalling   Status = "uninstalling"
	StatusUninstalled    Status = "uninstalled"
)

// Facts are what decisions read of a release. The zero value of Version and Status marks a rendering that is not recorded.
type Facts struct {
	Name, Namespace string
	// Version is the release's number in storage, from 1.
	Version int
	Status  Status

	ChartName, ChartVersion string
	// ConfigDigest is the digest of the values, in Flux's canonical form.
	ConfigDigest string
	// Digest is the digest of the whole record, by Flux's algorithm; see [Release.Digest].
	Digest string
	// Recorded is true when the record is just as Sluice wrote it.
	Recorded bool
}
