package controller

import (
	"context"
	"errors"
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/release"
)

// releaseMemory is what an attempt of a HelmRelease knows of Helm's storage. It is forgotten when another one starts.
type releaseMemory struct {
	known    bool
	decision release.Decision
	// latest is the newest record; rendered is what the content asks for.
	latest, rendered *release.Release
}

// helm returns the subject as a HelmRelease; false when it is none.
func (p *pass) helm() (helmRelease, bool) {
	h, ok := p.subject.(helmRelease)
	return h, ok
}

// storage is Helm's, as the subject's service account.
func (p *pass) storage() (release.Storage, error) {
	hands, err := p.hands()
	if err != nil {
		return release.Storage{}, err
	}
	return release.Storage{Secrets: hands.Secrets, Now: p.Now}, nil
}

// observeRelease says what was found out about Helm's storage in this attempt.
func (p *pass) observeRelease(state *plan.State) {
	m := p.mem.release
	state.Release = plan.Release{Known: m.known, Next: m.decision.Next}
	switch m.decision.Step {
	case release.StepNone:
		state.Release.InSync = true
	case release.StepInstall, release.StepUpgrade:
		state.Release.Due = true
	case release.StepRender:
		state.Release.Due = true
		if p.render != nil && p.render.Release != nil && *p.render.Release == m.decision.Next { // since then: decide again
			state.Release.Known = false
		}
	case release.StepUnlock, release.StepUninstall:
		state.Release.Repair = m.decision.Reason
	case release.StepBlocked:
		state.Release.Blocked = m.decision.Reason
	case release.StepContinue:
	}
}

// compare reads the newest record and the content, and lets package release decide what they ask for. With an error comes
// the reason of the failure.
func (p *pass) compare(ctx context.Context) (reason string, err error) {
	h, isHelm := p.helm()
	if !isHelm {
		return "", nil
	}
	rendered, err := p.renderedRelease(ctx, 0)
	if err != nil {
		return plan.ReasonArtifactFailed, err
	}
	storage, err := p.storage()
	if err != nil {
		return plan.ReasonStateError, err
	}
	latest, err := storage.Latest(ctx, release.RefOf(h.hr))
	if err != nil {
		return plan.ReasonStateError, err
	}
	if err := p.adopt(latest); err != nil {
		return plan.ReasonStateError, err
	}
	facts := rendered.Facts()
	s := release.State{
		Rendered: facts, Observed: h.hr.Status.History.Latest(), Moved: release.Moved(h.hr, facts.ChartName),
		Working: p.mem.record.Release, Failures: p.failures(h, facts),
		Forced: h.requested(helmv2.ForceRequestAnnotation, h.hr.Status.LastHandledForceAt),
	}
	if latest != nil {
		f := latest.Facts()
		s.Latest = &f
	}
	if p.render != nil && p.render.Release != nil {
		s.Parameters = *p.render.Release
	}
	decision := release.Decide(s)
	if decision.Step == release.StepInstall || decision.Step == release.StepUpgrade {
		if rendered, err = p.renderedRelease(ctx, decision.Next.Revision); err != nil {
			return plan.ReasonArtifactFailed, err
		}
	}
	p.mem.release = releaseMemory{known: true, decision: decision, latest: latest, rendered: rendered}
	return "", nil
}

// renderedRelease is the release that the attempt's content asks for; see goalContent for the version.
func (p *pass) renderedRelease(ctx context.Context, version int) (*release.Release, error) {
	content, _, err := p.goalContent(ctx, version)
	if err != nil {
		return nil, err
	}
	return release.Parse(content.Release)
}

// releasing is the version that the attempt is about to put into effect, or is doing so; 0 for none.
func (p *pass) releasing() int {
	d := p.mem.release.decision
	switch d.Step {
	case release.StepInstall, release.StepUpgrade:
		return d.Next.Revision
	case release.StepContinue:
		return p.mem.record.Release
	}
	return 0
}

// failures counts those that still matter.
func (p *pass) failures(h helmRelease, rendered release.Facts) int64 {
	if release.Changed(h.hr, rendered) != "" || h.requested(helmv2.ResetRequestAnnotation, h.hr.Status.LastHandledResetAt) {
		return 0
	}
	return h.hr.Status.Failures
}

// repair unlocks a release that a crash left pending, or uninstalls one that the spec no longer means.
func (p *pass) repair(ctx context.Context) error {
	h, _ := p.helm()
	m := p.mem.release
	p.mem.release = releaseMemory{}
	storage, err := p.storage()
	if err != nil {
		return err
	}
	if m.decision.Step == release.StepUnlock {
		_, err := storage.Unlock(ctx, release.RefOf(h.hr), m.latest)
		return err
	}
	old, recorded := release.RecordedRef(h.hr)
	if !recorded {
		return nil
	}
	hands, err := p.hands()
	if err != nil {
		return err
	}
	result, err := hands.Pruner.Prune(ctx, p.releasable(p.statusInventory().Entries()))
	if err != nil {
		return fmt.Errorf("uninstall release %s: %w", old, err)
	}
	p.noteChanges(result.Changes)
	if _, err := storage.Uninstall(ctx, old, h.hr.GetUninstall().KeepHistory); err != nil {
		return err
	}
	h.hr.Status.History, h.hr.Status.Inventory = nil, nil
	return p.patchStatus(ctx)
}

// askRelease publishes the parameters of the next release; render-controller follows them.
func (p *pass) askRelease(ctx context.Context, state plan.State, a plan.Action) error {
	p.mem.release.known = false
	s := p.syncInMemory()
	p.noteSubject(s, state)
	p.noteRelease(s, state.Release.Next, 0)
	if err := p.writeSync(ctx); err != nil {
		return err
	}
	if a.Progress {
		return p.progress(ctx, state, a)
	}
	return nil
}

func (p *pass) noteRelease(s *v1alpha1.Sync, next v1alpha1.ReleaseParameters, revision int) {
	h, isHelm := p.helm()
	if !isHelm {
		return
	}
	ref := release.RefOf(h.hr)
	if revision == 0 && s.Release != nil {
		revision = s.Release.Revision
	}
	s.Release = &v1alpha1.Release{
		Name: ref.Name, Namespace: ref.Namespace, StorageNamespace: ref.StorageNamespace, Revision: revision, Next: next,
	}
}

// beginRelease records the release as pending, before any of its objects is applied, and makes its namespace if asked to.
func (p *pass) beginRelease(ctx context.Context) error {
	h, isHelm := p.helm()
	m := &p.mem.release
	if !isHelm || (m.decision.Step != release.StepInstall && m.decision.Step != release.StepUpgrade) {
		return nil
	}
	hands, err := p.hands()
	if err != nil {
		return err
	}
	if ns := release.NamespaceToCreate(h.hr); ns != nil && m.decision.Step == release.StepInstall {
		if err := hands.Client.Create(ctx, ns); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create namespace %s: %w", ns.Name, err)
		}
	}
	storage, err := p.storage()
	if err != nil {
		return err
	}
	pending, err := storage.Begin(ctx, release.RefOf(h.hr), m.rendered, m.latest)
	if err != nil {
		return err
	}
	m.latest, m.decision.Step = pending, release.StepContinue
	p.mem.record.Release = pending.Version()
	p.mem.record.Action = string(helmv2.ReleaseActionUpgrade)
	if m.decision.Next.IsInstall {
		p.mem.record.Action = string(helmv2.ReleaseActionInstall)
	}
	return p.save()
}

// concludeRelease records how the release that was begun ended, and takes a snapshot of it into the status.
func (p *pass) concludeRelease(ctx context.Context, failure string) error {
	h, isHelm := p.helm()
	if !isHelm || p.mem.record.Release == 0 {
		return nil
	}
	storage, err := p.storage()
	if err != nil {
		return err
	}
	ref := release.RefOf(h.hr)
	latest, err := storage.Latest(ctx, ref)
	if err != nil {
		return err
	}
	if latest == nil || latest.Version() != p.mem.record.Release {
		p.mem.record.Release = 0
		return nil
	}
	status := latest.Facts().Status
	switch {
	case failure == "" && status != release.StatusDeployed:
		latest, err = storage.Deploy(ctx, ref, latest, h.hr.GetMaxHistory())
	case failure != "" && status.Pending():
		latest, err = storage.Fail(ctx, ref, latest, failure, h.hr.GetMaxHistory())
	}
	if err != nil {
		return err
	}
	p.snapshot(h, latest, failure)
	return nil
}

// snapshot brings the status to what storage says.
func (p *pass) snapshot(h helmRelease, latest *release.Release, failure string) {
	status := &h.hr.Status
	action := helmv2.ReleaseAction(p.mem.record.Action)
	facts := latest.Facts()
	status.History = release.Remember(status.History, latest.Snapshot(action))
	status.StorageNamespace = h.hr.GetStorageNamespace()
	if p.failures(h, facts) == 0 {
		status.Failures, status.InstallFailures, status.UpgradeFailures = 0, 0, 0
	}
	took := metav1.Duration{Duration: p.now.Sub(p.mem.record.Started)}
	status.LastAttemptedReleaseAction, status.LastAttemptedReleaseActionDuration = action, &took
	status.LastAttemptedConfigDigest = facts.ConfigDigest
	if failure != "" {
		status.Failures++
		if action == helmv2.ReleaseActionInstall {
			status.InstallFailures++
		} else {
			status.UpgradeFailures++
		}
	}
	p.noteRelease(p.syncInMemory(), release.Next(latest), latest.Version())
}

// complete gives a release's namespace to objects that a chart left without one.
func (p *pass) complete(content rendering.Content) error {
	h, isHelm := p.helm()
	if !isHelm {
		return nil
	}
	objects := make([]*unstructured.Unstructured, 0, len(content.Objects))
	for _, o := range content.Objects {
		objects = append(objects, o.Object)
	}
	if _, err := release.DefaultNamespace(objects, p.Mapper, h.hr.GetReleaseNamespace()); err != nil {
		return err
	}
	return nil
}

// lostRace says that somebody else recorded a release meanwhile: look again.
func lostRace(err error) bool { return errors.Is(err, release.ErrRecordExists) }
