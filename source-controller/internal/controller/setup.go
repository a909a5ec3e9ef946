package controller

import (
	"context"
	"fmt"
	"os"
	"time"

	fluxcontroller "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/metrics"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/fileserver"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/config"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/gitrepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/measure"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/retry"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// clones is the folder of bare clones inside the storage.
const clones = ".git-cache"

// Setup registers everything with a manager. messages is nil when notifications are off.
func Setup(ctx context.Context, mgr ctrl.Manager, cfg *config.Config, messages bus.Bus) error {
	host, err := os.Hostname() // the name of this instance in events
	if err != nil {
		return fmt.Errorf("find the name of this host: %w", err)
	}
	files, err := store.Open(cfg.Storage.Path, store.Options{
		Address: cfg.Storage.AdvAddr, TTL: cfg.Storage.RetentionTTL, Records: cfg.Storage.RetentionRecords,
	})
	if err != nil {
		return err
	}
	dir, err := files.Folder(clones)
	if err != nil {
		return err
	}
	cache, err := git.OpenCache(dir)
	if err != nil {
		return err
	}
	issuer, err := newIssuer(mgr, cfg.Identity)
	if err != nil {
		return err
	}
	recorder, measured := metrics.NewRecorder(), measure.New()
	outbox := &announcer{reader: mgr.GetClient(), reporters: map[string]*report.Reporter{}}
	reporter := func(kind string) *report.Reporter {
		outbox.reporters[kind] = &report.Reporter{
			Kind: kind, Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Bus: outbox, Host: host,
			// core/v1 events are what Flux's CLI and dashboards look for, by involvedObject.
			Events:  mgr.GetEventRecorderFor(config.Name), //nolint:staticcheck // see above
			Measure: fluxcontroller.NewMetrics(mgr, recorder, sourcev1.SourceFinalizer).RecordDuration,
			Metrics: measured,
			Schedule: report.Schedule{
				Retry:      &retry.Limiter{Min: cfg.MinRetryDelay, Max: cfg.MaxRetryDelay},
				Dependency: cfg.RequeueDependency, Jitter: cfg.Jitter,
			},
		}
		return outbox.reporters[kind]
	}
	options := controller.Options{MaxConcurrentReconciles: cfg.Concurrent}
	repositories := git.NewClient(git.DefaultLimits())
	repositories.SSH = cfg.SSH
	if err := (&gitrepository.Reconciler{
		Runner:  runner[*sourcev1.GitRepository](reporter(sourcev1.GitRepositoryKind), files),
		Secrets: secret.Reader{Live: mgr.GetAPIReader()}, Identity: issuer, Git: repositories, Clones: cache,
		Limits: pack.Limits{Bytes: cfg.Storage.MaxBytes, Files: cfg.Storage.MaxFiles},
	}).Setup(ctx, mgr, options); err != nil {
		return err
	}
	if err := setupOCIRepositories(mgr, cfg, runner[*sourcev1.OCIRepository](reporter(sourcev1.OCIRepositoryKind), files), issuer); err != nil {
		return err
	}
	if err := setupHelm(ctx, mgr, cfg, runner[*sourcev1.HelmRepository](reporter(sourcev1.HelmRepositoryKind), files),
		runner[*sourcev1.HelmChart](reporter(sourcev1.HelmChartKind), files), issuer); err != nil {
		return err
	}
	records, err := setupBuckets(mgr, cfg, runner[*sourcev1.Bucket](reporter(sourcev1.BucketKind), files), issuer)
	if err != nil {
		return err
	}
	if outbox.Outbox, err = cfg.Outbox(mgr, messages, outbox.reannounce); err != nil {
		return err
	}
	collectors := append(recorder.Collectors(), measured.Collectors()...)
	collectors = append(collectors, issuer.Collectors()...)
	collectors = append(collectors, &measure.Volume{Dir: cfg.Storage.Path, Every: time.Minute}, readiness(mgr.GetClient()))
	if err := process.Register(collectors...); err != nil {
		return err
	}
	return serve(mgr, cfg, files, cache, records)
}

// runner makes the attempts of one kind.
func runner[O attempt.Object](reporter *report.Reporter, files *store.Store) attempt.Runner[O] {
	return attempt.Runner[O]{Reporter: reporter, Store: files, Clock: time.Now}
}

// newIssuer is what logs sources in to clouds.
func newIssuer(mgr ctrl.Manager, cfg config.Identity) (*identity.Issuer, error) {
	return identity.New(identity.Options{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: time.Now,
		ObjectLevel: cfg.ObjectLevel, DefaultServiceAccount: cfg.DefaultServiceAccount,
		CacheSize: cfg.CacheSize, CacheTTL: cfg.CacheTTL,
	})
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
func serve(mgr ctrl.Manager, cfg *config.Config, files *store.Store, cache *git.Cache, records *bucket.Records) error {
	server := &fileserver.Server{Files: "artifacts", Address: cfg.Storage.Addr, Open: files.Read}
	sweep := manager.RunnableFunc(func(ctx context.Context) error {
		if err := sweep(ctx, mgr.GetClient(), files, cache, records); err != nil {
			// What stays is disk space, until the next start.
			mgr.GetLogger().Error(err, "artifacts of deleted objects stay")
		}
		return nil
	})
	for _, runnable := range []manager.Runnable{server, sweep} {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("set up source-controller: %w", err)
		}
	}
	return mgr.AddReadyzCheck("storage", server.Ready)
}
