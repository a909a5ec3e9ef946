// Package controller connects the delivery path with the cluster: it watches Providers and Alerts, reads Secrets when
// they are needed, and tells users what is wrong by core/v1 Events, since neither kind has a status. It writes nothing
// else.
package controller

import (
	"context"
	"fmt"
	"sync"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
	"github.com/sluice-gitops/sluice/notify-controller/internal/provider"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
	"github.com/sluice-gitops/sluice/notify-controller/internal/router"
)

// Directory implements [router.Directory]. Alerts and Providers are read from the cache as they are stored and decoded
// one by one, so that one that does not decode stops no other. It is safe for concurrent use.
type Directory struct {
	// Cache holds Alerts and Providers.
	Cache client.Reader
	// Live asks the API server.
	Live client.Reader
	// Refs decides on references across namespaces.
	Refs access.Checker

	mu    sync.Mutex
	rules map[types.UID]compiled
}

type compiled struct {
	version string
	rule    *route.Rule
}

func alertKind() schema.GroupVersionKind {
	return notificationv1beta3.GroupVersion.WithKind(notificationv1beta3.AlertKind)
}

func providerKind() schema.GroupVersionKind {
	return notificationv1beta3.GroupVersion.WithKind(notificationv1beta3.ProviderKind)
}

func deploymentKind() schema.GroupVersionKind {
	return appsv1.SchemeGroupVersion.WithKind("Deployment")
}

// Rules returns a rule per Alert, compiled once per version of it.
func (d *Directory) Rules(ctx context.Context) ([]*route.Rule, error) {
	alerts, err := d.list(ctx, alertKind())
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := make(map[types.UID]compiled, len(alerts))
	rules := make([]*route.Rule, 0, len(alerts))
	for i := range alerts {
		alert := &alerts[i]
		known, ok := d.rules[alert.GetUID()]
		if !ok || known.version != alert.GetResourceVersion() {
			known = compiled{alert.GetResourceVersion(), ruleOf(alert, d.Refs)}
		}
		kept[alert.GetUID()] = known
		rules = append(rules, known.rule)
	}
	d.rules = kept
	return rules, nil
}

func ruleOf(stored *unstructured.Unstructured, refs access.Checker) *route.Rule {
	var alert notificationv1beta3.Alert
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(stored.Object, &alert); err != nil {
		return &route.Rule{Alert: refOf(stored), Problem: "the Alert does not decode: " + redact.Error(err)}
	}
	return route.Compile(&alert, refs)
}

// Target implements [router.Directory].
func (d *Directory) Target(ctx context.Context, namespace, name string) (router.Target, error) {
	stored, err := d.provider(ctx, namespace, name)
	if err != nil {
		return router.Target{}, err
	}
	spec, problem := specOf(stored)
	if problem == "" {
		problem = plan.Unserved(spec)
	}
	return router.Target{Ref: refOf(stored), Type: spec.Type, Suspended: spec.Suspend, Problem: problem}, nil
}

// Providers implements [deliver.ListProviders].
func (d *Directory) Providers(ctx context.Context) ([]route.Ref, error) {
	stored, err := d.list(ctx, providerKind())
	refs := make([]route.Ref, 0, len(stored))
	for i := range stored {
		refs = append(refs, refOf(&stored[i]))
	}
	return refs, err
}

// Types are the types of all Providers that exist, by UID; empty for one that does not decode.
func (d *Directory) Types(ctx context.Context) (map[types.UID]string, error) {
	stored, err := d.list(ctx, providerKind())
	if err != nil {
		return nil, err
	}
	found := make(map[types.UID]string, len(stored))
	for i := range stored {
		found[stored[i].GetUID()], _, _ = unstructured.NestedString(stored[i].Object, "spec", "type")
	}
	return found, nil
}

// Labels implements [router.Directory] by asking for the object's metadata.
func (d *Directory) Labels(ctx context.Context, object corev1.ObjectReference) (map[string]string, error) {
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(schema.FromAPIVersionAndKind(object.APIVersion, object.Kind))
	err := d.Live.Get(ctx, types.NamespacedName{Namespace: object.Namespace, Name: object.Name}, meta)
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
		return nil, nil
	}
	return meta.Labels, err
}

// provider returns provider.ErrNotFound for one that does not exist.
func (d *Directory) provider(ctx context.Context, namespace, name string) (*unstructured.Unstructured, error) {
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(providerKind())
	err := d.Cache.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, stored)
	if apierrors.IsNotFound(err) {
		return nil, provider.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read Provider %s/%s: %w", namespace, name, err)
	}
	return stored, nil
}

func (d *Directory) list(ctx context.Context, kind schema.GroupVersionKind) ([]unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := d.Cache.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil { // nothing here changes what it reads
		return nil, fmt.Errorf("list %ss: %w", kind.Kind, err)
	}
	return list.Items, nil
}

func specOf(stored *unstructured.Unstructured) (notificationv1beta3.ProviderSpec, string) {
	var decoded notificationv1beta3.Provider
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(stored.Object, &decoded); err != nil {
		return notificationv1beta3.ProviderSpec{}, "the Provider does not decode: " + redact.Error(err)
	}
	return decoded.Spec, ""
}

func refOf(object client.Object) route.Ref {
	return route.Ref{Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID()}
}
