package controller

import (
	"context"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/render-controller/internal/store"
)

// sweeper removes, once at start, the files of subjects that have gone while nobody looked.
type sweeper struct {
	client client.Reader
	store  *store.Store
}

// NeedLeaderElection says that only the leader, which writes files, removes them.
func (*sweeper) NeedLeaderElection() bool { return true }

// Start sweeps, and returns.
func (s *sweeper) Start(ctx context.Context) error {
	subjects, err := s.store.Subjects()
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		if err := s.sweep(ctx, subject); err != nil {
			logkey.Of(ctrl.LoggerFrom(ctx), subject.Kind, subject.Namespace, subject.Name).
				Error(err, "cannot remove the renderings of a subject that may be gone")
		}
	}
	return nil
}

func (s *sweeper) sweep(ctx context.Context, subject store.Subject) error {
	var object client.Object
	switch subject.Kind {
	case strings.ToLower(kustomizev1.KustomizationKind):
		object = &kustomizev1.Kustomization{}
	case strings.ToLower(helmv2.HelmReleaseKind):
		object = &helmv2.HelmRelease{}
	default:
		return nil
	}
	err := s.client.Get(ctx, types.NamespacedName{Namespace: subject.Namespace, Name: subject.Name}, object)
	if apierrors.IsNotFound(err) {
		return s.store.Remove(subject)
	}
	return err
}
