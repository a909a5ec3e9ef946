package controller

import (
	"fmt"
	"os"
	"time"

	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/metrics"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/config"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/measure"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/retry"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/artifact"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/cosign"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// shared is what the reconcilers of all kinds have in common.
type shared struct {
	mgr      ctrl.Manager
	cfg      *config.Config
	host     string // the name of this instance in events
	files    *store.Store
	outbox   *announcer
	recorder *metrics.Recorder
	measured *measure.Metrics

	secrets     secret.Reader
	issuer      *identity.Issuer
	connections *wire.Pool
	signatures  *artifact.Verifier
}

func newShared(mgr ctrl.Manager, cfg *config.Config) (*shared, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the name of this host: %w", err)
	}
	files, err := store.Open(cfg.Storage.Path, store.Options{
		Address: cfg.Storage.AdvAddr, TTL: cfg.Storage.RetentionTTL, Records: cfg.Storage.RetentionRecords,
	})
	if err != nil {
		return nil, err
	}
	issuer, err := identity.New(identity.Options{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: time.Now,
		ObjectLevel: cfg.Identity.ObjectLevel, DefaultServiceAccount: cfg.Identity.DefaultServiceAccount,
		CacheSize: cfg.Identity.CacheSize, CacheTTL: cfg.Identity.CacheTTL,
	})
	if err != nil {
		return nil, err
	}
	secrets := secret.Reader{Live: mgr.GetAPIReader()}
	return &shared{
		mgr: mgr, cfg: cfg, host: host, files: files,
		outbox:   &announcer{reader: mgr.GetClient(), reporters: map[string]*report.Reporter{}},
		recorder: metrics.NewRecorder(), measured: measure.New(),
		secrets: secrets, issuer: issuer, connections: wire.NewPool(),
		signatures: &artifact.Verifier{Secrets: secrets, Public: cosign.NewPublicRoot(cosign.PublicOptions{})},
	}, nil
}

func (s *shared) options() controller.Options {
	return controller.Options{MaxConcurrentReconciles: s.cfg.Concurrent}
}

// runner makes the attempts of one kind, with a reporter of its own.
func runner[O attempt.Object](s *shared, kind string) attempt.Runner[O] {
	reporter := &report.Reporter{
		Kind: kind, Client: s.mgr.GetClient(), Live: s.mgr.GetAPIReader(), Bus: s.outbox, Host: s.host,
		// core/v1 events are what Flux's CLI and dashboards look for, by involvedObject.
		Events:  s.mgr.GetEventRecorderFor(config.Name), //nolint:staticcheck // see above
		Measure: fluxcontroller.NewMetrics(s.mgr, s.recorder, sourcev1.SourceFinalizer).RecordDuration,
		Metrics: s.measured,
		Schedule: report.Schedule{
			Retry:      &retry.Limiter{Min: s.cfg.MinRetryDelay, Max: s.cfg.MaxRetryDelay},
			Dependency: s.cfg.RequeueDependency, Jitter: s.cfg.Jitter,
		},
	}
	s.outbox.reporters[kind] = reporter
	return attempt.Runner[O]{Reporter: reporter, Store: s.files, Clock: time.Now}
}
