package controller

import (
	"context"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/helm"
	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
)

// Reasons that Flux has for HelmReleases.
const (
	reasonSourceNotReady = "SourceNotReady"
	reasonValues         = "ValuesError"
)

// releases observes HelmReleases, and keeps their HelmCharts as their specs ask.
type releases struct {
	client       client.Client
	live         client.Reader
	access       access.Checker
	sources      *sources
	capabilities *capabilities
}

func (*releases) kind() string { return helmv2.HelmReleaseKind }

func (*releases) groupVersion() string { return helmv2.GroupVersion.String() }

func (*releases) newSubject() client.Object { return &helmv2.HelmRelease{} }

// inputs reads what the spec says, and which release sync-controller asks for.
func (r *releases) inputs(ctx context.Context, o *observation) error {
	hr := o.subject.(*helmv2.HelmRelease)
	if field := unserved(hr); field != "" {
		return problemf(render.ReasonBuild, "%s is not served yet: without it the release would not be what it asks for", field)
	}
	sync, err := r.sync(ctx, o)
	if err != nil {
		return err
	}
	parameters := plan.NextRelease(o.state.Subject, sync)
	o.state.Release = &parameters
	values, err := helm.Values(hr)
	if err != nil {
		return problemf(reasonValues, "%v", err)
	}
	known, err := r.capabilities.get()
	if err != nil {
		return err
	}
	o.job.Helm = &helm.Input{
		ChartDigest: o.artifact.Digest, Revision: trackedRevision(o.source), ReleaseName: helm.ReleaseName(hr), Namespace: hr.GetReleaseNamespace(),
		Values: values, Parameters: parameters, CRDs: helm.CRDPolicy(hr, parameters),
		SkipSchema: helm.SkipSchema(hr, parameters), IgnoreHooks: helm.IgnoredHooks(hr),
		SubjectName: hr.Name, SubjectNamespace: hr.Namespace, Capabilities: known,
	}
	return nil
}

// unserved names a field that would change what is rendered, and cannot yet.
func unserved(hr *helmv2.HelmRelease) string {
	switch {
	case len(hr.Spec.ValuesFrom) > 0:
		return "spec.valuesFrom"
	case len(hr.Spec.PostRenderers) > 0:
		return "spec.postRenderers"
	case hr.Spec.CommonMetadata != nil:
		return "spec.commonMetadata"
	default:
		return ""
	}
}

// source finds the release's chart, which is made for it from spec.chart or named by spec.chartRef, and where it is.
func (r *releases) source(ctx context.Context, o *observation) error {
	hr := o.subject.(*helmv2.HelmRelease)
	o.state.Suspended = hr.Spec.Suspend
	o.interval, o.retryInterval = hr.Spec.Interval.Duration, max(shortestRetry, hr.Spec.Interval.Duration)
	if hr.Spec.Suspend {
		return nil
	}
	if hr.HasChartRef() == hr.HasChartTemplate() {
		return problemf(render.ReasonArtifact, "either spec.chart or spec.chartRef has to be set, and not both")
	}
	find := r.made
	if hr.HasChartRef() {
		find = r.named
	}
	chart, err := find(ctx, o, hr)
	if err != nil {
		return err
	}
	if err := unready(o.source.Kind, chart); err != nil {
		return err
	}
	return o.setArtifact(chart, chart.GetArtifact())
}

// made is the HelmChart that spec.chart asks for: it is made, and kept as the spec has it.
func (r *releases) made(ctx context.Context, o *observation, hr *helmv2.HelmRelease) (artifactSource, error) {
	ref := hr.Spec.Chart.Spec.SourceRef
	o.source = v1alpha1.Source{
		Kind: sourcev1.HelmChartKind, Namespace: orDefault(ref.Namespace, hr.Namespace), Name: hr.GetHelmChartName(),
	}
	if err := o.allow(r.access, ref.Kind, ref.Namespace, ref.Name); err != nil {
		return nil, err
	}
	if !slices.Contains(chartSources(), ref.Kind) {
		return nil, problemf(render.ReasonArtifact, "spec.chart.spec.sourceRef.kind: no chart can be made from a %s; use one of %s",
			ref.Kind, strings.Join(chartSources(), ", "))
	}
	return r.ensureChart(ctx, o, hr)
}

// chartSources are the kinds that a HelmChart can be made from.
func chartSources() []string {
	return []string{sourcev1.HelmRepositoryKind, sourcev1.GitRepositoryKind, sourcev1.BucketKind}
}

// named is the source that spec.chartRef names, whose artifact is the chart.
func (r *releases) named(ctx context.Context, o *observation, hr *helmv2.HelmRelease) (artifactSource, error) {
	ref := hr.Spec.ChartRef
	o.source = v1alpha1.Source{Kind: ref.Kind, Namespace: orDefault(ref.Namespace, hr.Namespace), Name: ref.Name}
	chart, err := r.sources.read(ctx, o, "spec.chartRef", chartArtifacts())
	if err != nil {
		return nil, err
	}
	return chart, nil
}

// chartArtifacts are the kinds whose artifacts can be charts.
func chartArtifacts() []string {
	return []string{sourcev1.HelmChartKind, sourcev1.OCIRepositoryKind, sourcev1.ExternalArtifactKind}
}

// ensureChart returns the HelmChart of a release, as its spec asks for. Nothing is written when it is that already.
func (r *releases) ensureChart(ctx context.Context, o *observation, hr *helmv2.HelmRelease) (*sourcev1.HelmChart, error) {
	want := chartFor(hr, o.source.Namespace)
	have := &sourcev1.HelmChart{}
	err := o.reader(r.client, r.live).Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		err = r.client.Create(ctx, want)
		if apierrors.IsAlreadyExists(err) {
			return have, r.live.Get(ctx, client.ObjectKeyFromObject(want), have)
		}
		return want, err
	}
	if err != nil {
		return nil, err
	}
	if !belongs(have, hr) {
		return nil, problemf(reasonSourceNotReady,
			"HelmChart '%s/%s' is there already and does not belong to this HelmRelease: delete or rename one of them",
			have.Namespace, have.Name)
	}
	changed := have.DeepCopy()
	changed.Spec = want.Spec
	for key, value := range want.Labels {
		put(&changed.Labels, key, value)
	}
	for key, value := range want.Annotations {
		put(&changed.Annotations, key, value)
	}
	if equality.Semantic.DeepEqual(have, changed) {
		return have, nil
	}
	return changed, r.client.Update(ctx, changed)
}

// belongs says whether a HelmChart was made for a release: by its labels, or by what the release's status says of it.
func belongs(chart *sourcev1.HelmChart, hr *helmv2.HelmRelease) bool {
	if chart.Labels[helm.LabelName] == hr.Name && chart.Labels[helm.LabelNamespace] == hr.Namespace {
		return true
	}
	return hr.Status.HelmChart == chart.Namespace+"/"+chart.Name
}

func put(values *map[string]string, key, value string) {
	if *values == nil {
		*values = map[string]string{}
	}
	(*values)[key] = value
}

// chartFor is the HelmChart that a release asks for: <namespace>-<name>, where its source is.
func chartFor(hr *helmv2.HelmRelease, namespace string) *sourcev1.HelmChart {
	template := hr.Spec.Chart
	chart := &sourcev1.HelmChart{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: hr.GetHelmChartName()},
		Spec: sourcev1.HelmChartSpec{
			Chart: template.Spec.Chart, Version: orDefault(template.Spec.Version, "*"),
			SourceRef:         sourcev1.LocalHelmChartSourceReference{Kind: template.Spec.SourceRef.Kind, Name: template.Spec.SourceRef.Name},
			Interval:          template.GetInterval(hr.Spec.Interval),
			ReconcileStrategy: orDefault(template.Spec.ReconcileStrategy, sourcev1.ReconcileStrategyChartVersion),
			ValuesFiles:       template.Spec.ValuesFiles, IgnoreMissingValuesFiles: template.Spec.IgnoreMissingValuesFiles,
		},
	}
	if verify := template.Spec.Verify; verify != nil {
		chart.Spec.Verify = &sourcev1.HelmChartVerification{Provider: verify.Provider, SecretRef: verify.SecretRef}
	}
	if template.ObjectMeta != nil {
		chart.Annotations = template.ObjectMeta.Annotations
		for key, value := range template.ObjectMeta.Labels {
			put(&chart.Labels, key, value)
		}
	}
	put(&chart.Labels, helm.LabelName, hr.Name)
	put(&chart.Labels, helm.LabelNamespace, hr.Namespace)
	return chart
}

func orDefault(value, other string) string {
	if value == "" {
		return other
	}
	return value
}

// sync reads the subject's Sync; nil when there is none.
func (r *releases) sync(ctx context.Context, o *observation) (*v1alpha1.Sync, error) {
	sync := &v1alpha1.Sync{}
	err := r.client.Get(ctx, types.NamespacedName{
		Namespace: o.name.Namespace, Name: v1alpha1.RecordName(o.state.Subject.Kind, o.name.Name),
	}, sync)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return sync, err
}
