package release

import (
	"context"
	"errors"
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-gitops/sluice/sync-controller/internal/release/storage"
)

// Begin records the release as pending, before any of its objects is applied, and makes its namespace if asked to.
func (h helm) Begin(ctx context.Context) (begun bool, err error) {
	m := h.Memory
	if !m.acts() {
		return false, nil
	}
	if m.decision.Step == StepInstall {
		if err := h.createNamespace(ctx); err != nil {
			return false, err
		}
	}
	records, err := h.records()
	if err != nil {
		return false, err
	}
	pending, err := records.Begin(ctx, RefOf(h.hr), m.rendered, m.latest)
	if err != nil {
		return false, err
	}
	m.latest, m.decision.Step = pending, StepContinue
	h.Attempt.Release = pending.Version()
	h.Attempt.Action = string(helmv2.ReleaseActionUpgrade)
	if m.decision.Next.IsInstall {
		h.Attempt.Action = string(helmv2.ReleaseActionInstall)
	}
	return true, nil
}

func (h helm) createNamespace(ctx context.Context) error {
	ns := NamespaceToCreate(h.hr)
	if ns == nil {
		return nil
	}
	t, err := h.Target()
	if err != nil {
		return err
	}
	if err := t.Client.Create(ctx, ns); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", ns.Name, err)
	}
	return nil
}

// LostRace says that somebody else recorded a release meanwhile: look again.
func LostRace(err error) bool { return errors.Is(err, storage.ErrRecordExists) }
