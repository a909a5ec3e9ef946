package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/kustomize"
	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
	"github.com/sluice-gitops/sluice/render-controller/internal/sops"
)

// macAnnotation on a Kustomization, with the value "warn", accepts SOPS files whose MAC does not fit.
const macAnnotation = "sluice.dev/sops-mac"

// kustomizations observes Kustomizations.
type kustomizations struct {
	live      client.Reader
	sources   *sources
	warnOnMAC bool
}

func (*kustomizations) kind() string { return kustomizev1.KustomizationKind }

func (*kustomizations) groupVersion() string { return kustomizev1.GroupVersion.String() }

func (*kustomizations) newSubject() client.Object { return &kustomizev1.Kustomization{} }

// inputs reads what the spec says and refers to.
func (k *kustomizations) inputs(ctx context.Context, o *observation) error {
	ks := o.subject.(*kustomizev1.Kustomization)
	in := &kustomize.Input{
		Path: ks.Spec.Path, TargetNamespace: ks.Spec.TargetNamespace,
		NamePrefix: ks.Spec.NamePrefix, NameSuffix: ks.Spec.NameSuffix,
		Patches: ks.Spec.Patches, Images: ks.Spec.Images,
		Components: ks.Spec.Components, IgnoreMissingComponents: ks.Spec.IgnoreMissingComponents,
	}
	for _, option := range ks.Spec.BuildMetadata {
		in.BuildMetadata = append(in.BuildMetadata, string(option))
	}
	if common := ks.Spec.CommonMetadata; common != nil {
		in.Labels, in.Annotations = common.Labels, common.Annotations
	}
	o.job.Kustomize = in
	if err := k.observeVariables(ctx, o, ks); err != nil {
		return err
	}
	return k.observeKeys(ctx, o, ks)
}

// source reads the source that spec.sourceRef names.
func (k *kustomizations) source(ctx context.Context, o *observation) error {
	ks := o.subject.(*kustomizev1.Kustomization)
	o.state.Suspended = ks.Spec.Suspend
	o.interval, o.retryInterval = ks.Spec.Interval.Duration, max(shortestRetry, ks.GetRetryInterval())
	if ks.Spec.Suspend {
		return nil
	}
	ref := ks.Spec.SourceRef
	o.source = v1alpha1.Source{Kind: ref.Kind, Namespace: orDefault(ref.Namespace, ks.Namespace), Name: ref.Name}
	source, err := k.sources.read(ctx, o, "spec.sourceRef", manifestSources())
	if err != nil {
		return err
	}
	return o.setArtifact(source, source.GetArtifact())
}

// manifestSources are the kinds that a Kustomization can be made from.
func manifestSources() []string {
	return []string{sourcev1.GitRepositoryKind, sourcev1.OCIRepositoryKind, sourcev1.BucketKind, sourcev1.ExternalArtifactKind}
}

// observeVariables reads the variables of spec.postBuild: later references win over earlier ones, the spec over all.
func (k *kustomizations) observeVariables(ctx context.Context, o *observation, ks *kustomizev1.Kustomization) error {
	post := ks.Spec.PostBuild
	if post == nil {
		return nil
	}
	substitution := &kustomize.Substitution{
		Always:    ks.GetSubstituteStrategy() == kustomizev1.SubstituteStrategyAlways,
		Variables: map[string]string{},
	}
	secret := map[string]struct{}{}
	for _, ref := range post.SubstituteFrom {
		values, err := k.values(ctx, o, ref)
		if err != nil {
			return err
		}
		for name, value := range values {
			substitution.Variables[name] = strings.ReplaceAll(value, "\n", "")
			if delete(secret, name); ref.Kind == kindSecret {
				secret[name] = struct{}{}
			}
		}
	}
	for name, value := range post.Substitute {
		substitution.Variables[name] = value
		delete(secret, name)
	}
	substitution.Secret = slices.Sorted(maps.Keys(secret))
	o.job.Kustomize.Substitution = substitution
	return nil
}

func (k *kustomizations) values(ctx context.Context, o *observation, ref kustomizev1.SubstituteReference) (map[string]string, error) {
	data, found, err := readData(ctx, k.live, o, ref.Kind, ref.Name)
	if err != nil {
		return nil, err
	}
	if !found && !ref.Optional {
		return nil, problemf(render.ReasonBuild, "substitute from '%s/%s' error: not found in namespace %s", ref.Kind, ref.Name, o.name.Namespace)
	}
	values := make(map[string]string, len(data))
	for name, value := range data {
		values[name] = string(value)
	}
	return values, nil
}

// observeKeys reads the keys of spec.decryption: those of the subject's own Secret, and no others.
func (k *kustomizations) observeKeys(ctx context.Context, o *observation, ks *kustomizev1.Kustomization) error {
	decryption := ks.Spec.Decryption
	if decryption == nil {
		return nil
	}
	if decryption.Provider != "sops" {
		return problemf(render.ReasonBuild, "spec.decryption.provider %q is not served; use sops", decryption.Provider)
	}
	if decryption.ServiceAccountName != "" {
		return problemf(render.ReasonBuild, "spec.decryption.serviceAccountName is not served: use age keys in spec.decryption.secretRef")
	}
	mac := ks.Annotations[macAnnotation]
	o.job.Decryption = &render.Decryption{WarnOnMAC: mac == "warn" || (mac == "" && k.warnOnMAC)}
	o.keys = (*sops.Keyring)(nil)
	if decryption.SecretRef == nil {
		return nil
	}
	name := decryption.SecretRef.Name
	data, found, err := readData(ctx, k.live, o, kindSecret, name)
	if err != nil {
		return err
	}
	if !found {
		return problemf(render.ReasonBuild, "decryption Secret '%s/%s' not found", o.name.Namespace, name)
	}
	ring, err := sops.NewKeyring(o.name.Namespace+"/"+name, data)
	if err != nil {
		return problemf(render.ReasonBuild, "%v", err)
	}
	o.keys = ring
	return nil
}

// The kinds that hold values.
const (
	kindSecret    = "Secret"
	kindConfigMap = "ConfigMap"
)

// readData reads a Secret or ConfigMap in the subject's namespace, live: values are never cached.
func readData(ctx context.Context, live client.Reader, o *observation, kind, name string) (data map[string][]byte, found bool, err error) {
	key := types.NamespacedName{Namespace: o.name.Namespace, Name: name}
	if kind == kindConfigMap {
		var config corev1.ConfigMap
		if err := live.Get(ctx, key, &config); err != nil {
			return nil, false, unread(err, kind, key)
		}
		o.depend(kind, &config)
		data = make(map[string][]byte, len(config.Data))
		for name, value := range config.Data {
			data[name] = []byte(value)
		}
		return data, true, nil
	}
	var secret corev1.Secret
	if err := live.Get(ctx, key, &secret); err != nil {
		return nil, false, unread(err, kind, key)
	}
	o.depend(kind, &secret)
	return secret.Data, true, nil
}

// untilGranted is when something is asked for again that this controller had no right to read: no watch tells.
const untilGranted = 30 * time.Second

// unread is nil for what does not exist, and a problem that its user can have mended for what must not be read.
func unread(err error, kind string, key types.NamespacedName) error {
	if !apierrors.IsForbidden(err) {
		return client.IgnoreNotFound(err)
	}
	return &problem{plan.Problem{
		Reason: render.ReasonBuild, Retry: untilGranted,
		Message: fmt.Sprintf("render-controller may not read %s %s; grant it the right to, it asks again every %s", kind, key, untilGranted),
	}}
}
