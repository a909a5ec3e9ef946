package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
	helmtime "helm.sh/helm/v3/pkg/time"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// labelDigest marks a record as written by Sluice: the start of its digest. Helm carries a release's labels on to the next
// when somebody else upgrades it; the digest then fits no more.
const (
	labelDigest  = "sluice.dev/release-digest"
	digestDigits = 40
)

// maxDescription bounds the failure that is written into a record, in bytes.
const maxDescription = 4096

// ErrRecordExists is returned by [Storage.Begin] when somebody else has recorded that version meanwhile: decide again.
var ErrRecordExists = errors.New("a release of this version has been recorded meanwhile")

// Storage reads and writes the records of releases: Secrets sh.helm.release.v1.<name>.v<version>. Methods that write
// return the record as it is now, and change no argument. It is safe for concurrent use, though not for the same release.
type Storage struct {
	// Secrets is the API server, as the HelmRelease's service account if it has one. It must not be a cache.
	Secrets corev1client.SecretsGetter
	// Now is the clock.
	Now func() time.Time
}

// History returns a release's records, the newest first; none is no error.
func (s Storage) History(ctx context.Context, ref Ref) ([]*Release, error) {
	if err := chartutil.ValidateReleaseName(ref.Name); err != nil {
		return nil, fmt.Errorf("release name %q: %w", ref.Name, err)
	}
	secrets := s.open(ctx, ref)
	records, err := driver.NewSecrets(secrets).Query(map[string]string{"name": ref.Name, "owner": "helm"})
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list releases %s: %w", ref, err)
	}
	history := make([]*Release, 0, len(records))
	for _, record := range records {
		if record.Info != nil {
			history = append(history, &Release{record: record})
		}
	}
	if unreadable := secrets.listed - len(history); unreadable > 0 {
		message := fmt.Sprintf("list releases %s: %d of %d records hold no Helm release: delete them", ref, unreadable, secrets.listed)
		return nil, secrets.unreadable("", message)
	}
	slices.SortFunc(history, func(a, b *Release) int { return b.record.Version - a.record.Version })
	return history, nil
}

// Latest returns a release's newest record, nil when there is none.
func (s Storage) Latest(ctx context.Context, ref Ref) (*Release, error) {
	history, err := s.History(ctx, ref)
	if err != nil || len(history) == 0 {
		return nil, err
	}
	return history[0], nil
}

// Begin records a rendering as pending, before any of it is applied. latest is the newest record, nil without any. The
// version is the one that [Next] says; a rendering made for other parameters must not get here (see [Decide]).
func (s Storage) Begin(ctx context.Context, ref Ref, rendered, latest *Release) (*Release, error) {
	parameters := Next(latest)
	pending := rendered.with(StatusPendingUpgrade, "Preparing upgrade")
	if parameters.IsInstall {
		pending = rendered.with(StatusPendingInstall, "Initial install underway")
	}
	now := s.now()
	pending.record.Version = parameters.Revision
	pending.record.Info.FirstDeployed, pending.record.Info.LastDeployed = now, now
	if !parameters.IsInstall && !latest.record.Info.FirstDeployed.IsZero() {
		pending.record.Info.FirstDeployed = latest.record.Info.FirstDeployed
	}
	if latest != nil {
		pending.record.Labels = userLabels(latest.record.Labels)
	}
	pending.seal()
	err := driver.NewSecrets(s.open(ctx, ref)).Create(key(pending), pending.record)
	switch {
	case errors.Is(err, driver.ErrReleaseExists):
		return nil, fmt.Errorf("record release %s: %w", pending.FullName(), ErrRecordExists)
	case err != nil:
		return nil, fmt.Errorf("record release %s: %w", pending.FullName(), err)
	default:
		return pending, nil
	}
}

// Deploy records that a pending release is in effect: what was deployed before becomes superseded, and only the newest
// maxHistory records stay (0: all).
func (s Storage) Deploy(ctx context.Context, ref Ref, pending *Release, maxHistory int) (*Release, error) {
	history, err := s.History(ctx, ref)
	if err != nil {
		return nil, err
	}
	for i, older := range history {
		if older.record.Version == pending.record.Version || older.status() != StatusDeployed {
			continue
		}
		if history[i], err = s.update(ctx, ref, older.with(StatusSuperseded, older.record.Info.Description)); err != nil {
			return nil, err
		}
	}
	description := "Upgrade complete"
	if pending.status() == StatusPendingInstall {
		description = "Install complete"
	}
	deployed, err := s.update(ctx, ref, pending.with(StatusDeployed, description))
	if err != nil {
		return nil, err
	}
	return deployed, s.prune(ctx, ref, history, maxHistory)
}

// Fail records that a pending release did not come into effect. The reason must hold no secret value: it is shown by
// `helm history`. What was deployed before stays deployed, in storage. Old records are pruned as by [Storage.Deploy].
func (s Storage) Fail(ctx context.Context, ref Ref, pending *Release, reason string, maxHistory int) (*Release, error) {
	what := "Upgrade"
	if pending.status() == StatusPendingInstall {
		what = "Release"
	}
	if len(reason) > maxDescription {
		reason = strings.ToValidUTF8(reason[:maxDescription], "") + "…"
	}
	failed, err := s.update(ctx, ref, pending.with(StatusFailed, fmt.Sprintf("%s %q failed: %s", what, pending.record.Name, reason)))
	if err != nil {
		return nil, err
	}
	history, err := s.History(ctx, ref)
	if err != nil {
		return nil, err
	}
	return failed, s.prune(ctx, ref, history, maxHistory)
}

// Unlock marks a release failed that was left pending. One that is not pending is returned as it is.
func (s Storage) Unlock(ctx context.Context, ref Ref, stale *Release) (*Release, error) {
	if !stale.status().Pending() {
		return stale, nil
	}
	return s.update(ctx, ref, stale.with(StatusFailed, fmt.Sprintf("Release unlocked from stale '%s' state", stale.status())))
}

// BeginUninstall records that a release is being uninstalled, before any of its objects is deleted.
func (s Storage) BeginUninstall(ctx context.Context, ref Ref, latest *Release) (*Release, error) {
	going := latest.with(StatusUninstalling, "Deletion in progress (or silently failed)")
	if going.record.Info.Deleted.IsZero() {
		going.record.Info.Deleted = s.now()
	}
	return s.update(ctx, ref, going)
}

// Uninstall ends an uninstallation after all objects are gone: it deletes all records, or, to keep the history, marks the
// newest uninstalled and those deployed superseded. The record is returned as it was last, nil when there was none.
// It may be repeated.
func (s Storage) Uninstall(ctx context.Context, ref Ref, keepHistory bool) (*Release, error) {
	history, err := s.History(ctx, ref)
	if err != nil || len(history) == 0 {
		return nil, err
	}
	gone := history[0].with(StatusUninstalled, "Uninstallation complete")
	if gone.record.Info.Deleted.IsZero() {
		gone.record.Info.Deleted = s.now()
	}
	if !keepHistory {
		for _, record := range slices.Backward(history) { // the newest last: what is left of a crash still says what it was
			if err := s.remove(ctx, ref, record); err != nil {
				return nil, err
			}
		}
		return gone, nil
	}
	for _, older := range history[1:] {
		if older.status() == StatusDeployed {
			if _, err := s.update(ctx, ref, older.with(StatusSuperseded, older.record.Info.Description)); err != nil {
				return nil, err
			}
		}
	}
	return s.update(ctx, ref, gone)
}

// prune deletes the oldest records of a history, but neither the newest nor one that is deployed.
func (s Storage) prune(ctx context.Context, ref Ref, history []*Release, maxHistory int) error {
	if maxHistory <= 0 {
		return nil
	}
	for i := len(history) - 1; i > 0 && len(history) > maxHistory; i-- {
		if history[i].status() == StatusDeployed {
			continue
		}
		if err := s.remove(ctx, ref, history[i]); err != nil {
			return err
		}
		history = slices.Delete(history, i, i+1)
	}
	return nil
}

func (s Storage) update(ctx context.Context, ref Ref, r *Release) (*Release, error) {
	r.record.Labels = maps.Clone(r.record.Labels)
	r.seal()
	if err := driver.NewSecrets(s.open(ctx, ref)).Update(key(r), r.record); err != nil {
		return nil, fmt.Errorf("record release %s as %s: %w", r.FullName(), r.status(), err)
	}
	return r, nil
}

func (s Storage) remove(ctx context.Context, ref Ref, r *Release) error {
	err := s.open(ctx, ref).Delete(ctx, key(r), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete record of release %s: %w", r.FullName(), err)
	}
	return nil
}

func (s Storage) open(ctx context.Context, ref Ref) *bounded {
	return &bounded{SecretInterface: s.Secrets.Secrets(ref.StorageNamespace), ctx: ctx, ref: ref, namespace: ref.StorageNamespace}
}

func (s Storage) now() helmtime.Time { return helmtime.Time{Time: s.Now().UTC()} }

func key(r *Release) string {
	return fmt.Sprintf("%s.%s.v%d", storage.HelmStorageType, r.record.Name, r.record.Version)
}

// seal marks a record as ours, just before it is written.
func (r *Release) seal() {
	if r.record.Labels == nil {
		r.record.Labels = map[string]string{}
	}
	r.record.Labels[labelDigest] = r.mark()
}

// sealed says whether the record is just as it was written by Sluice.
func (r *Release) sealed() bool {
	mark := r.record.Labels[labelDigest]
	return mark != "" && mark == r.mark()
}

func (r *Release) mark() string {
	digest := strings.TrimPrefix(r.Digest(""), sha256Prefix)
	return digest[:min(digestDigits, len(digest))]
}

// userLabels are the labels that a user gave a release with Helm's CLI: it carries them on, and so do we.
func userLabels(labels map[string]string) map[string]string {
	kept := map[string]string{}
	for name, value := range labels {
		if !slices.Contains(driver.GetSystemLabels(), name) {
			kept[name] = value
		}
	}
	return kept
}
