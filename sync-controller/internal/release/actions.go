package release

import (
	"context"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
	"github.com/sluice-gitops/sluice/sync-controller/internal/target"
)

// Actions are what releasing adds to the work at a subject, in the order in which it comes. They change the subject's
// status and the attempt's progress in memory; who calls writes them.
type Actions interface {
	// Observe says what was found out about Helm's storage in this attempt.
	Observe() plan.Release
	// Compare finds it out. With an error comes the reason of the failure.
	Compare(ctx context.Context) (reason string, err error)
	// Repair unlocks a release that a crash left pending, or uninstalls one that the spec no longer means.
	Repair(ctx context.Context) (Repaired, error)
	// Version is the one that the attempt is about to put into effect, or is doing so; 0 for none.
	Version() int
	// Begin records that version as pending, before any of its objects is applied. It says whether there was one to begin.
	Begin(ctx context.Context) (begun bool, err error)
	// Conclude records how the release that was begun ended; failure is empty when it is in effect.
	Conclude(ctx context.Context, failure string) (*v1alpha1.Release, error)
	// Requested is what the Sync record says while a rendering for the parameters is waited for; nil for nothing.
	Requested(next v1alpha1.ReleaseParameters) *v1alpha1.Release
	// Restart decides anew: what was found out no longer holds. Recheck does so without forgetting the decision.
	Restart()
	Recheck()

	// Adopt takes the objects of a recorded release into an inventory that nobody has kept, before they are deleted.
	Adopt(ctx context.Context) error
	// Namespaces hold records of the release that a deletion of objects must not take along.
	Namespaces() []string
	// BeginUninstall marks the release before its first object is deleted, Uninstall removes it once they are gone.
	BeginUninstall(ctx context.Context) error
	Uninstall(ctx context.Context) error
	// DeleteChart deletes the HelmCharts that were made for the subject. LeaveChart deletes one that it is not made from any
	// more, and notes in the status that there is none.
	DeleteChart(ctx context.Context) error
	LeaveChart(ctx context.Context) error
}

// Repaired is what a repair did.
type Repaired struct {
	// Changes to objects; Uninstalled says that the release is gone, from the status too.
	Changes     apply.ChangeSet
	Uninstalled bool
}

// World is what actions read and write, beside the subject itself.
type World struct {
	// Owner is the subject as its objects name it.
	Owner inventory.Owner
	// Render is the subject's; nil without one.
	Render func() *v1alpha1.Render
	// Open opens the content of the attempt as that version of the release; 0 for whichever.
	Open func(ctx context.Context, version int) (rendering.Content, error)
	// Target is where the release lives.
	Target func() (target.Target, error)
	// Client and Live reach the cluster of the subject itself, through the cache and past it.
	Client client.Client
	Live   client.Reader
	Mapper meta.RESTMapper
	// Attempt is the running one; Memory what it knows of the storage.
	Attempt *attempt.Attempt
	Memory  *Memory
	// Now is the clock, At when this look at the subject began.
	Now func() time.Time
	At  func() time.Time
}

// Memory is what an attempt knows of Helm's storage. It is forgotten when another one starts.
type Memory struct {
	known    bool
	decision Decision
	// latest is the newest record; rendered is what the content asks for.
	latest, rendered *storage.Release
}

// For returns the actions for a subject.
func For(s subject.Subject, w World) Actions {
	if hr, ok := s.Object().(*helmv2.HelmRelease); ok {
		return helm{World: w, hr: hr, subject: s}
	}
	return none{}
}

// helm are the actions for a HelmRelease.
type helm struct {
	World
	hr      *helmv2.HelmRelease
	subject subject.Subject
}

// records are Helm's, as the subject's service account.
func (h helm) records() (storage.Storage, error) {
	t, err := h.Target()
	if err != nil {
		return storage.Storage{}, err
	}
	return storage.Storage{Secrets: t.Secrets, Now: h.Now}, nil
}

// acts says whether a release is about to be made.
func (m Memory) acts() bool { return m.decision.Step == StepInstall || m.decision.Step == StepUpgrade }

// Version is the one that the attempt is about to put into effect, or is doing so; 0 for none.
func (h helm) Version() int {
	switch {
	case h.Memory.acts():
		return h.Memory.decision.Next.Revision
	case h.Memory.decision.Step == StepContinue:
		return h.Attempt.Release
	}
	return 0
}

// Restart decides anew.
func (h helm) Restart() { *h.Memory = Memory{} }

// Recheck has storage compared again.
func (h helm) Recheck() { h.Memory.known = false }

// Requested is what the Sync record says while a rendering is waited for.
func (h helm) Requested(next v1alpha1.ReleaseParameters) *v1alpha1.Release { return h.summary(next, 0) }

func (h helm) summary(next v1alpha1.ReleaseParameters, revision int) *v1alpha1.Release {
	ref := RefOf(h.hr)
	return &v1alpha1.Release{
		Name: ref.Name, Namespace: ref.Namespace, StorageNamespace: ref.StorageNamespace, Revision: revision, Next: next,
	}
}
