package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
)

// goalContent opens the content of the running attempt: the kept one when it is the same, or else what the Render names.
// The same chart and values are another content as another release: with a version, other than 0, the Render's own is taken
// if it was made for that one.
func (p *pass) goalContent(ctx context.Context, version int) (rendering.Content, held, error) {
	tag := p.mem.record.Goal.Tag
	if have := p.mem.record.Held; have.Tag == tag && !p.renderedFor(version) {
		content, err := p.open(have)
		if err == nil {
			return content, have, nil
		}
	}
	if p.render == nil || p.render.Rendering == nil {
		return rendering.Content{}, held{}, errors.New("there is no Render record to fetch the content of")
	}
	r := p.render.Rendering
	next := held{Tag: r.Tag, Digest: r.Digest}
	if _, err := p.Store.Sealed(p.key, r.Digest); errors.Is(err, keep.ErrAbsent) {
		sealed, err := p.Fetcher.Get(ctx, r.URL, r.Digest, r.Size)
		if err != nil {
			return rendering.Content{}, held{}, err
		}
		if err := p.Store.Retain(p.key, p.mem.record.Held.Digest); err != nil { // contents that were refused
			return rendering.Content{}, held{}, err
		}
		if err := p.Store.PutSealed(p.key, r.Digest, sealed); err != nil {
			return rendering.Content{}, held{}, err
		}
	}
	content, err := p.open(next)
	return content, next, err
}

// renderedFor says whether the Render was made for that version of the release.
func (p *pass) renderedFor(version int) bool {
	return version != 0 && p.render != nil && p.render.Release != nil && p.render.Release.Revision == version
}

// heldContent opens the content that heals the cluster.
func (p *pass) heldContent() (rendering.Content, error) { return p.open(p.mem.record.Held) }

func (p *pass) open(h held) (rendering.Content, error) {
	sealed, err := p.Store.Sealed(p.key, h.Digest)
	if err != nil {
		return rendering.Content{}, err
	}
	content, err := rendering.Open(bytes.NewReader(sealed), p.Identities, p.subject.object().GetUID(), rendering.Tag(h.Tag))
	if err != nil {
		return rendering.Content{}, fmt.Errorf("open the rendering: %w", err)
	}
	if err := p.complete(content); err != nil {
		return rendering.Content{}, err
	}
	apply.DropNamespaces(p.Mapper, content.Objects)
	return content, nil
}

// fluxImagePrefix is where the images of Flux's own controllers come from.
const fluxImagePrefix = "ghcr.io/fluxcd/"

// fluxIn names Flux's own controllers in a content.
func fluxIn(content rendering.Content) []string {
	var names []string
	for _, o := range content.Objects {
		if isFluxController(o.Object) {
			names = append(names, "Deployment/"+o.Object.GetNamespace()+"/"+o.Object.GetName()+" in the repository")
		}
	}
	return names
}

func isFluxController(o *unstructured.Unstructured) bool {
	if o == nil || o.GetKind() != "Deployment" || !fluxControllerName(o.GetName()) || o.GetLabels()[config.FluxLabel] != config.FluxPart {
		return false
	}
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return false
	}
	for _, c := range containers {
		fields, _ := c.(map[string]any)
		if image, _ := fields["image"].(string); strings.HasPrefix(image, fluxImagePrefix) {
			return true
		}
	}
	return false
}

func fluxControllerName(name string) bool {
	return name == "kustomize-controller" || name == "helm-controller"
}

// isFluxDeployment says whether a Deployment in the cluster runs one of Flux's own controllers.
func isFluxDeployment(d *appsv1.Deployment) bool {
	if !fluxControllerName(d.Name) || d.Status.ReadyReplicas == 0 {
		return false
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		if strings.HasPrefix(c.Image, fluxImagePrefix) {
			return true
		}
	}
	return false
}

// fluxRunning names Flux's own controllers, as the cache and the latest content show them.
func (p *pass) fluxRunning(ctx context.Context) ([]string, error) {
	if p.AllowFlux {
		return nil, nil
	}
	var names []string
	list := &appsv1.DeploymentList{}
	if err := p.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list Deployments of Flux: %w", err)
	}
	for i := range list.Items {
		if isFluxDeployment(&list.Items[i]) {
			names = append(names, "Deployment/"+list.Items[i].Namespace+"/"+list.Items[i].Name+" in the cluster")
		}
	}
	if p.render != nil && p.render.Rendering != nil && p.mem.fluxTag == p.render.Rendering.Tag {
		names = append(names, p.mem.fluxNames...)
	}
	return names, nil
}
