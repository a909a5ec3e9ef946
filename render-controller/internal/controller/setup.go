package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/seal"
)

// Back-off of attempts that failed without a verdict.
const (
	minRetry = 750 * time.Millisecond
	maxRetry = 15 * time.Minute
)

// Indexes over the cache.
const (
	bySource    = "source"    // kind/namespace/name of what a Kustomization, or a HelmRelease, is made from
	byReference = "reference" // kind/namespace/name of a Secret or ConfigMap that a Kustomization reads
)

// Setup adds the reconcilers of both kinds to the manager, with their watches.
func Setup(ctx context.Context, mgr ctrl.Manager, options *Options) error {
	options.quarantine = make(chan struct{}, 1)
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return fmt.Errorf("index the cache: %w", err)
	}
	recipients, err := recipientsCache(mgr, options.Namespace)
	if err != nil {
		return err
	}
	discovered, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("discovery client: %w", err)
	}
	read := &sources{cached: mgr.GetClient(), live: mgr.GetAPIReader(), access: options.Access, refuseExternal: options.RefuseExternalArtifacts}
	if err := setupKustomizations(mgr, options, recipients, read); err != nil {
		return fmt.Errorf("set up Kustomizations: %w", err)
	}
	charts := &releases{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), access: options.Access, sources: read,
		capabilities: newCapabilities(discovered, min(capabilitiesAge, options.RetryArtifact)),
	}
	if err := mgr.Add(charts.capabilities); err != nil {
		return err
	}
	if err := setupReleases(mgr, options, recipients, charts); err != nil {
		return fmt.Errorf("set up HelmReleases: %w", err)
	}
	return mgr.Add(&sweeper{client: mgr.GetClient(), store: options.Store})
}

func setupKustomizations(mgr ctrl.Manager, options *Options, recipients cache.Cache, read *sources) error {
	reconciler := &reconciler{client: mgr.GetClient(), options: options, memory: newMemory(), observer: &kustomizations{
		live: mgr.GetAPIReader(), sources: read, warnOnMAC: options.WarnOnMAC,
	}}
	find := &finder{reader: mgr.GetClient(), list: func() client.ObjectList { return &kustomizev1.KustomizationList{} }}
	b := ctrl.NewControllerManagedBy(mgr).Named("kustomization").
		For(&kustomizev1.Kustomization{}, builder.WithPredicates(subjectChanged())).
		Owns(&v1alpha1.Render{}, builder.WithPredicates(recordDeleted())).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(find.byReference(kindSecret)), builder.WithPredicates(versionChanged())).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(find.byReference(kindConfigMap)), builder.WithPredicates(versionChanged())).
		WatchesRawSource(recipientsSource(recipients, options.Seals, find)).
		WithOptions(controllerOptions(options))
	for _, kind := range manifestSources() {
		b.Watches(newSource(kind), handler.EnqueueRequestsFromMapFunc(find.bySource(kind)), builder.WithPredicates(artifactChanged()))
	}
	return b.Complete(reconciler)
}

func setupReleases(mgr ctrl.Manager, options *Options, recipients cache.Cache, charts *releases) error {
	reconciler := &reconciler{client: mgr.GetClient(), options: options, memory: newMemory(), observer: charts}
	find := &finder{reader: mgr.GetClient(), list: func() client.ObjectList { return &helmv2.HelmReleaseList{} }}
	b := ctrl.NewControllerManagedBy(mgr).Named("helmrelease").
		For(&helmv2.HelmRelease{}, builder.WithPredicates(subjectChanged())).
		Owns(&v1alpha1.Render{}, builder.WithPredicates(recordDeleted())).
		Watches(&v1alpha1.Sync{}, handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &helmv2.HelmRelease{}),
			builder.WithPredicates(nextChanged())).
		WatchesRawSource(source.Channel(charts.capabilities.changed, handler.EnqueueRequestsFromMapFunc(find.all))).
		WatchesRawSource(recipientsSource(recipients, options.Seals, find)).
		WithOptions(controllerOptions(options))
	for _, kind := range chartArtifacts() {
		b.Watches(newSource(kind), handler.EnqueueRequestsFromMapFunc(find.bySource(kind)), builder.WithPredicates(chartChanged()))
	}
	return b.Complete(reconciler)
}

func controllerOptions(options *Options) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: options.Concurrent,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](minRetry, maxRetry),
	}
}

// recipientsCache holds one ConfigMap, and is the only cache that holds values.
func recipientsCache(mgr ctrl.Manager, namespace string) (cache.Cache, error) {
	only, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
		ByObject: map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {
			Namespaces: map[string]cache.Config{namespace: {
				FieldSelector: fields.OneTermEqualSelector("metadata.name", seal.RecipientsConfig),
			}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("cache of the recipients: %w", err)
	}
	return only, mgr.Add(only)
}

// recipientsSource has every subject looked at when the recipients change.
func recipientsSource(recipients cache.Cache, seals *seal.Store, find *finder) source.Source {
	return source.Kind(recipients, &corev1.ConfigMap{}, handler.TypedEnqueueRequestsFromMapFunc(
		func(ctx context.Context, _ *corev1.ConfigMap) []reconcile.Request {
			seals.Forget()
			return find.find(ctx)
		}))
}

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &kustomizev1.Kustomization{}, bySource, func(object client.Object) []string {
		ref := object.(*kustomizev1.Kustomization).Spec.SourceRef
		return []string{key(ref.Kind, orDefault(ref.Namespace, object.GetNamespace()), ref.Name)}
	}); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &kustomizev1.Kustomization{}, byReference, func(object client.Object) []string {
		return references(object.(*kustomizev1.Kustomization))
	}); err != nil {
		return err
	}
	return indexer.IndexField(ctx, &helmv2.HelmRelease{}, bySource, func(object client.Object) []string {
		return chartKeys(object.(*helmv2.HelmRelease))
	})
}

// chartKeys name where a HelmRelease's chart comes from.
func chartKeys(hr *helmv2.HelmRelease) []string {
	var keys []string
	if hr.HasChartTemplate() {
		keys = append(keys, key(sourcev1.HelmChartKind, orDefault(hr.Spec.Chart.Spec.SourceRef.Namespace, hr.Namespace), hr.GetHelmChartName()))
	}
	if ref := hr.Spec.ChartRef; ref != nil {
		keys = append(keys, key(ref.Kind, orDefault(ref.Namespace, hr.Namespace), ref.Name))
	}
	return keys
}

// references lists the Secrets and ConfigMaps that a Kustomization reads.
func references(ks *kustomizev1.Kustomization) []string {
	var all []string
	if ks.Spec.PostBuild != nil {
		for _, ref := range ks.Spec.PostBuild.SubstituteFrom {
			all = append(all, key(ref.Kind, ks.Namespace, ref.Name))
		}
	}
	if ks.Spec.Decryption != nil && ks.Spec.Decryption.SecretRef != nil {
		all = append(all, key(kindSecret, ks.Namespace, ks.Spec.Decryption.SecretRef.Name))
	}
	return all
}

func key(parts ...string) string { return strings.Join(parts, "/") }
