package controller_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// TestLostWorkers has a subject that every worker dies of.
func TestLostWorkers(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	files := map[string]string{poison + "/settings.yaml": configMap, "good/settings.yaml": configMap}
	w.push("main@sha1:1111", files)
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
		ks.Spec.Path, ks.Spec.RetryInterval = "./"+poison, &metav1.Duration{Duration: time.Millisecond}
	})
	w.render(ks, kustomization, failedWith("BuildFailed", "ended unexpectedly", "1 in a row", "after 10s"))

	before := builds(t)
	touch(t, ks)
	other := w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Name, ks.Spec.Path = "other", "./good" })
	w.render(other, kustomization, isReady)
	if built := builds(t) - before; built != 1 {
		t.Errorf("%v builds while a subject rests and another is rendered, want 1", built)
	}
	request(t, ks, "again")
	w.render(ks, kustomization, func(r *v1alpha1.Render) bool {
		return r.Subject.RequestedAt == "again" && failedWith("BuildFailed", "2 in a row", "after 20s")(r)
	})
	files[poison+"/more.yaml"] = strings.Replace(configMap, "settings", "more", 1)
	w.push("main@sha1:2222", files)
	w.render(ks, kustomization, func(r *v1alpha1.Render) bool {
		return r.Source.Revision == "main@sha1:2222" && failedWith("BuildFailed", "1 in a row", "after 10s")(r)
	})
	mended := ks.DeepCopy()
	ks.Spec.Path = "./good"
	must(t, cluster.client.Patch(t.Context(), ks, client.MergeFrom(mended)))
	w.render(ks, kustomization, isReady)
}

// touch has a subject looked at.
func touch(t *testing.T, ks *kustomizev1.Kustomization) {
	t.Helper()
	before := ks.DeepCopy()
	ks.Annotations = maps.Clone(ks.Annotations)
	if ks.Annotations == nil {
		ks.Annotations = map[string]string{}
	}
	ks.Annotations["example.com/touched"] = "true"
	must(t, cluster.client.Patch(t.Context(), ks, client.MergeFrom(before)))
}

// TestSourceIsDown: nothing but asking again tells that its server is back.
func TestSourceIsDown(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	w.artifacts.breakDown(true)
	w.push("main@sha1:1111", map[string]string{"settings.yaml": configMap, "README.md": "an artifact that no other test has"})
	ks := w.kustomization(nil)
	w.render(ks, kustomization, failedWith("ArtifactFailed", "GitRepository", "download", "asked for every"))
	w.artifacts.breakDown(false)
	w.render(ks, kustomization, isReady)
}

func TestSealsAgainWhatIsDamaged(t *testing.T) {
	identities := publishRecipients(t)
	w := newWorld(t)
	w.push("main@sha1:1111", map[string]string{"settings.yaml": configMap})
	ks := w.kustomization(nil)
	first := w.render(ks, kustomization, isReady)
	name := strings.TrimPrefix(first.Rendering.Digest, "sha256:") + ".age"
	file := filepath.Join(cluster.data, "renderings", "kustomization", w.namespace, ks.Name, name)
	sealed, err := os.ReadFile(file)
	must(t, err)
	sealed[len(sealed)-1] ^= 1
	must(t, os.WriteFile(file, sealed, 0o600))
	request(t, ks, "look")
	again := w.render(ks, kustomization, func(r *v1alpha1.Render) bool { return r.Subject.RequestedAt == "look" })
	if again.Rendering.Tag != first.Rendering.Tag || again.Rendering.Digest == first.Rendering.Digest {
		t.Errorf("sealed again as %+v, before %+v", again.Rendering, first.Rendering)
	}
	open(t, again, identities)
}

// TestReleaseSeesNewKinds: a chart that asks what the API server serves is rendered anew when that changes, for the next
// time that it is released; that alone is no other release.
func TestReleaseSeesNewKinds(t *testing.T) {
	identities := publishRecipients(t)
	w := newWorld(t)
	hr := w.release(nil)
	files := chart("1.0.0")
	files["web/templates/settings.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n" +
		"data: {found: '{{ .Capabilities.APIVersions.Has \"rendered.example.com/v1/Thing\" }}'}\n"
	w.announceChart(w.helmChart(hr), w.artifacts.put("1.0.0", pack(t, files)))
	before := w.render(hr, helmRelease, isReady)
	if found, _, _ := nested(open(t, before, identities), 0, "data", "found"); found != "false" {
		t.Fatalf("the kind was there already: %q", found)
	}
	_, err := envtest.InstallCRDs(cluster.config, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{thing()}})
	must(t, err)
	after := w.render(hr, helmRelease, func(r *v1alpha1.Render) bool { return isReady(r) && r.Rendering.Digest != before.Rendering.Digest })
	if found, _, _ := nested(open(t, after, identities), 0, "data", "found"); found != "true" || after.Rendering.Tag != before.Rendering.Tag {
		t.Errorf("found %q, tag %s, before %s", found, after.Rendering.Tag, before.Rendering.Tag)
	}
}

func thing() *apiextensionsv1.CustomResourceDefinition {
	preserve := true
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "things.rendered.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "rendered.example.com", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "things", Singular: "thing", Kind: "Thing", ListKind: "ThingList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: &preserve,
				}},
			}},
		},
	}
}
