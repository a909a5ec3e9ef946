package controller

import (
	"context"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
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
	// reasonNoSourceArtifact is what a HelmChart says while its own source has no artifact.
	reasonNoSourceArtifact = "NoSourceArtifact"
	reasonValues           = "ValuesError"
)

// releases observes HelmReleases, and keeps their HelmCharts as their specs ask.
type releases struct {
	client       client.Client
	live         client.Reader
	access       access.Checker
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
		ChartDigest: o.artifact.Digest, ReleaseName: helm.ReleaseName(hr), Namespace: hr.GetReleaseNamespace(),
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

// source has the release's chart packaged, and reads where it is.
func (r *releases) source(ctx context.Context, o *observation) error {
	hr := o.subject.(*helmv2.HelmRelease)
	o.state.Suspended = hr.Spec.Suspend
	o.interval, o.retryInterval = hr.Spec.Interval.Duration, max(shortestRetry, hr.Spec.Interval.Duration)
	if hr.Spec.Suspend {
		return nil
	}
	o.source = v1alpha1.Source{Kind: sourcev1.HelmChartKind, Namespace: hr.Namespace, Name: hr.GetHelmChartName()}
	if hr.HasChartRef() || !hr.HasChartTemplate() {
		return problemf(render.ReasonArtifact, "spec.chartRef is not served yet; use spec.chart with a GitRepository")
	}
	ref := hr.Spec.Chart.Spec.SourceRef
	namespace, err := o.resolve(r.access, ref.Kind, ref.Namespace, ref.Name)
	if err != nil {
		return err
	}
	if ref.Kind != sourcev1.GitRepositoryKind {
		return problemf(render.ReasonArtifact, "spec.chart.spec.sourceRef: sources of kind %s are not served yet; use a GitRepository", ref.Kind)
	}
	o.source.Namespace = namespace
	chart, err := r.ensureChart(ctx, o, hr)
	if err != nil {
		return err
	}
	if chart.Status.ObservedGeneration != chart.Generation {
		return waitingf(reasonSourceNotReady, "HelmChart '%s/%s' is not ready: its latest generation has not been reconciled", chart.Namespace, chart.Name)
	}
	if chart.Status.Artifact == nil {
		return unreadyChart(chart)
	}
	return o.setArtifact(chart, chart.Status.Artifact)
}

// unreadyChart tells a chart that waits for its own source from one that cannot be packaged.
func unreadyChart(chart *sourcev1.HelmChart) error {
	report := problemf
	ready := apimeta.FindStatusCondition(chart.Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status == metav1.ConditionUnknown || ready.Reason == reasonNoSourceArtifact {
		report = waitingf
	}
	return report(reasonSourceNotReady, "HelmChart '%s/%s' is not ready: %s", chart.Namespace, chart.Name, readiness(chart))
}

func readiness(chart *sourcev1.HelmChart) string {
	if ready := apimeta.FindStatusCondition(chart.Status.Conditions, meta.ReadyCondition); ready != nil && ready.Message != "" {
		return ready.Message
	}
	return "it has no artifact yet"
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
