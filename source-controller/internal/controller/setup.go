package controller

import (
	"context"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/fileserver"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/config"
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/measure"
)

// Setup registers everything with a manager. messages is nil when notifications are off.
func Setup(ctx context.Context, mgr ctrl.Manager, cfg *config.Config, messages bus.Bus) error {
	s, err := newShared(mgr, cfg)
	if err != nil {
		return err
	}
	cache, err := setupGitRepositories(ctx, s)
	if err != nil {
		return err
	}
	if err := setupOCIRepositories(s); err != nil {
		return err
	}
	if err := setupHelm(ctx, s); err != nil {
		return err
	}
	records, err := setupBuckets(s)
	if err != nil {
		return err
	}
	if s.outbox.Outbox, err = cfg.Outbox(mgr, messages, s.outbox.reannounce); err != nil {
		return err
	}
	collectors := append(s.recorder.Collectors(), s.measured.Collectors()...)
	collectors = append(collectors, s.issuer.Collectors()...)
	collectors = append(collectors, &measure.Volume{Dir: cfg.Storage.Path, Every: time.Minute}, readiness(mgr.GetClient()))
	if err := process.Register(collectors...); err != nil {
		return err
	}
	return s.serve(cache, records)
}

// readiness measures which objects are ready.
func readiness(cache client.Reader) *process.Readiness {
	lists := map[string]func() client.ObjectList{}
	for _, k := range kinds() {
		lists[k.name] = k.list
	}
	return &process.Readiness{Reader: cache, Kinds: lists}
}

// serve adds what runs beside the controllers: the server with its probe, and the sweep.
func (s *shared) serve(cache *git.Cache, records *bucket.Records) error {
	server := &fileserver.Server{Files: "artifacts", Address: s.cfg.Storage.Addr, Open: s.files.Read}
	sweep := manager.RunnableFunc(func(ctx context.Context) error {
		if err := sweep(ctx, s.mgr.GetClient(), s.files, cache, records); err != nil {
			// What stays is disk space, until the next start.
			s.mgr.GetLogger().Error(err, "artifacts of deleted objects stay")
		}
		return nil
	})
	for _, runnable := range []manager.Runnable{server, sweep} {
		if err := s.mgr.Add(runnable); err != nil {
			return fmt.Errorf("set up source-controller: %w", err)
		}
	}
	return s.mgr.AddReadyzCheck("storage", server.Ready)
}
