// Package coexist recognises Flux's own controllers, running in the cluster or about to be installed by a content. Sluice
// does not work beside them: both would write the same objects.
package coexist

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
)

// imagePrefix is where the images of Flux's own controllers come from.
const imagePrefix = "ghcr.io/fluxcd/"

// Found remembers in which content of a subject Flux's own controllers were found. The zero value is none.
type Found struct {
	tag   string
	names []string
}

// Look says whether Flux's own controllers are in a content, and remembers those that are.
func (f *Found) Look(tag string, content rendering.Content) bool {
	names := inContent(content)
	if len(names) == 0 {
		return false
	}
	f.tag, f.names = tag, names
	return true
}

// Names returns those that are in the content that the Render names.
func (f *Found) Names(render *v1alpha1.Render) []string {
	if render == nil || render.Rendering == nil || f.tag != render.Rendering.Tag {
		return nil
	}
	return f.names
}

// InCluster names Flux's own controllers that run, as the cache shows them.
func InCluster(ctx context.Context, reader client.Reader) ([]string, error) {
	list := &appsv1.DeploymentList{}
	if err := reader.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list Deployments of Flux: %w", err)
	}
	var names []string
	for i := range list.Items {
		if Runs(&list.Items[i]) {
			names = append(names, "Deployment/"+list.Items[i].Namespace+"/"+list.Items[i].Name+" in the cluster")
		}
	}
	return names, nil
}

// Runs says whether a Deployment in the cluster runs one of Flux's own controllers.
func Runs(d *appsv1.Deployment) bool {
	if !isName(d.Name) || d.Status.ReadyReplicas == 0 {
		return false
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		if strings.HasPrefix(c.Image, imagePrefix) {
			return true
		}
	}
	return false
}

// inContent names Flux's own controllers in a content.
func inContent(content rendering.Content) []string {
	var names []string
	for _, o := range content.Objects {
		if installs(o.Object) {
			names = append(names, "Deployment/"+o.Object.GetNamespace()+"/"+o.Object.GetName()+" in the repository")
		}
	}
	return names
}

// installs says whether an object is the Deployment of one of Flux's own controllers.
func installs(o *unstructured.Unstructured) bool {
	if o == nil || o.GetKind() != "Deployment" || !isName(o.GetName()) || o.GetLabels()[config.FluxLabel] != config.FluxPart {
		return false
	}
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return false
	}
	for _, c := range containers {
		fields, _ := c.(map[string]any)
		if image, _ := fields["image"].(string); strings.HasPrefix(image, imagePrefix) {
			return true
		}
	}
	return false
}

func isName(name string) bool {
	return name == "kustomize-controller" || name == "helm-controller"
}
