package controller_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/seal"
)

const configMap = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {color: blue}
`

const kustomization = "Kustomization"

func TestRendersAKustomization(t *testing.T) {
	identities := publishRecipients(t)
	w := newWorld(t)
	w.push("main@sha1:1111", map[string]string{"settings.yaml": configMap})
	ks := w.kustomization(nil)
	record := w.render(ks, kustomization, isReady)

	if record.Subject.UID != ks.UID || record.Subject.Generation != ks.Generation || record.Source.Revision != "main@sha1:1111" ||
		record.Source.Digest != w.source.Status.Artifact.Digest || record.Source.UID != w.source.UID {
		t.Errorf("the record speaks of another subject or source: %+v %+v", record.Subject, record.Source)
	}
	if got, want := ready(record).Message, "rendered 1 object of main@sha1:1111"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if owner := metav1.GetControllerOf(record); owner == nil || owner.UID != ks.UID {
		t.Errorf("owner %+v, want the subject", owner)
	}
	content := open(t, record, identities)
	if len(content.Objects) != 1 || content.Objects[0].Object.GetName() != "settings" || content.Objects[0].Tainted {
		t.Errorf("content %+v", content)
	}

	w.push("main@sha1:2222", map[string]string{"settings.yaml": configMap, "README.md": "changed"})
	moved := w.render(ks, kustomization, at("main@sha1:2222"))
	if *moved.Rendering != *record.Rendering {
		t.Errorf("the same content was sealed again: %+v, before %+v", moved.Rendering, record.Rendering)
	}
	if moved.Generation != record.Generation+1 {
		t.Errorf("%d writes for a revision without a change, want 1", moved.Generation-record.Generation)
	}

	w.push("main@sha1:3333", map[string]string{"settings.yaml": strings.Replace(configMap, "blue", "red", 1)})
	changed := w.render(ks, kustomization, at("main@sha1:3333"))
	if changed.Rendering.Tag == record.Rendering.Tag || changed.Rendering.Digest == record.Rendering.Digest {
		t.Error("other content has the tag or the digest of the content before")
	}
	color, _, _ := nested(open(t, changed, identities), 0, "data", "color")
	if color != "red" {
		t.Errorf("color %q, want red", color)
	}
	open(t, record, identities) // the file before is still served
}

func at(revision string) func(*v1alpha1.Render) bool {
	return func(r *v1alpha1.Render) bool { return isReady(r) && r.Source.Revision == revision }
}

func TestRequests(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	w.push("main@sha1:1111", map[string]string{"settings.yaml": configMap})
	ks := w.kustomization(nil)
	first := w.render(ks, kustomization, isReady)

	request(t, ks, "token-1")
	asked := w.render(ks, kustomization, func(r *v1alpha1.Render) bool { return r.Subject.RequestedAt == "token-1" })
	if asked.Generation != first.Generation+1 || *asked.Rendering != *first.Rendering {
		t.Errorf("%d writes, rendering %+v; want one that only hands the token over", asked.Generation-first.Generation, asked.Rendering)
	}
	must(t, cluster.client.Delete(t.Context(), asked))
	again := w.render(ks, kustomization, func(r *v1alpha1.Render) bool { return r.UID != asked.UID && isReady(r) })
	if again.Rendering.Tag != first.Rendering.Tag {
		t.Errorf("the record was made again with tag %s, want %s", again.Rendering.Tag, first.Rendering.Tag)
	}

	before := ks.DeepCopy()
	ks.Spec.Suspend = true
	must(t, cluster.client.Patch(t.Context(), ks, client.MergeFrom(before)))
	request(t, ks, "token-2")
	w.push("main@sha1:2222", map[string]string{"settings.yaml": strings.Replace(configMap, "blue", "red", 1)})
	other := w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Name = "other" })
	w.render(other, kustomization, at("main@sha1:2222"))
	suspended := w.render(ks, kustomization, func(*v1alpha1.Render) bool { return true })
	if suspended.ResourceVersion != again.ResourceVersion {
		t.Errorf("a suspended subject's record was written: %+v", suspended)
	}
	before = ks.DeepCopy()
	ks.Spec.Suspend = false
	must(t, cluster.client.Patch(t.Context(), ks, client.MergeFrom(before)))
	w.render(ks, kustomization, func(r *v1alpha1.Render) bool {
		return at("main@sha1:2222")(r) && r.Subject.RequestedAt == "token-2" && r.Subject.Generation == ks.Generation
	})
}

func TestSealsAgainWhatIsLost(t *testing.T) {
	identities := publishRecipients(t)
	w := newWorld(t)
	w.push("main@sha1:1111", map[string]string{"settings.yaml": configMap})
	ks := w.kustomization(nil)
	first := w.render(ks, kustomization, isReady)
	must(t, os.RemoveAll(filepath.Join(cluster.data, "renderings", "kustomization", w.namespace)))
	request(t, ks, "look")
	again := w.render(ks, kustomization, func(r *v1alpha1.Render) bool { return r.Subject.RequestedAt == "look" })
	if again.Rendering.Tag != first.Rendering.Tag || again.Rendering.Digest == first.Rendering.Digest {
		t.Errorf("sealed again as %+v, before %+v", again.Rendering, first.Rendering)
	}
	open(t, again, identities)
}

// TestRestart runs a second controller on the storage of the first: nothing is sealed or written again.
func TestRestart(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	w.push("main@sha1:1111", map[string]string{"settings.yaml": configMap})
	ks := w.kustomization(nil)
	first := w.render(ks, kustomization, isReady)
	restart(t)
	other := w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Name = "other" })
	w.render(other, kustomization, isReady)
	request(t, ks, "after")
	again := w.render(ks, kustomization, func(r *v1alpha1.Render) bool { return r.Subject.RequestedAt == "after" })
	if again.Rendering.Digest != first.Rendering.Digest || again.Generation != first.Generation+1 {
		t.Errorf("after a restart the rendering is %+v after %d writes, before it was %+v", again.Rendering, again.Generation-first.Generation, first.Rendering)
	}
}

func request(t *testing.T, ks *kustomizev1.Kustomization, token string) {
	t.Helper()
	before := ks.DeepCopy()
	ks.Annotations = map[string]string{meta.ReconcileRequestAnnotation: token}
	must(t, cluster.client.Patch(t.Context(), ks, client.MergeFrom(before)))
}

func TestForgetsWhatIsGone(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	w.push("main@sha1:1111", map[string]string{"settings.yaml": configMap})
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Finalizers = []string{kustomizev1.KustomizationFinalizer} })
	record := w.render(ks, kustomization, isReady)
	dir := filepath.Join(cluster.data, "renderings", "kustomization", w.namespace, ks.Name)
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	must(t, cluster.client.Delete(t.Context(), ks))
	must(t, cluster.client.Delete(t.Context(), record))
	other := w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Name = "other" })
	w.render(other, kustomization, isReady)
	if err := cluster.client.Get(t.Context(), client.ObjectKeyFromObject(record), record); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the record was made again for a subject that is being deleted: %v", err)
	}
	must(t, cluster.client.Get(t.Context(), client.ObjectKeyFromObject(ks), ks))
	before := ks.DeepCopy()
	ks.Finalizers = nil
	must(t, cluster.client.Patch(t.Context(), ks, client.MergeFrom(before)))
	eventually(t, func() (bool, string) {
		_, err := os.Stat(dir)
		return os.IsNotExist(err), "the files are still there"
	})
}

func TestFailures(t *testing.T) {
	publishRecipients(t)
	good := map[string]string{"settings.yaml": configMap}
	cases := map[string]struct {
		reason string
		files  map[string]string
		change func(*kustomizev1.Kustomization)
		want   string
		parts  []string
	}{
		"path-missing": {"it is not in the artifact", good, func(ks *kustomizev1.Kustomization) { ks.Spec.Path = "./none" }, "ArtifactFailed", []string{"./none"}},
		"path-outside": {"it leads outside", good, func(ks *kustomizev1.Kustomization) { ks.Spec.Path = "../etc" }, "ArtifactFailed", []string{"outside"}},
		"yaml":         {"it is not valid", map[string]string{"apps/bad.yaml": "a: [\n"}, nil, "BuildFailed", []string{"apps/bad.yaml", "line"}},
		"kustomize":    {"kustomize fails", map[string]string{"kustomization.yaml": "resources: [none.yaml]"}, nil, "BuildFailed", []string{"none.yaml"}},
		"remote":       {"nothing is fetched", map[string]string{"kustomization.yaml": "resources: ['https://example.com/x']"}, nil, "BuildFailed", []string{"kustomization.yaml", "resources[0]"}},
		"encrypted":    {"nobody decrypts it", map[string]string{"s.yaml": testFile(t, "secret.sops.yaml")}, nil, "BuildFailed", []string{"Secret/token", "spec.decryption"}},
		"no-secret": {"the keys are not there", good, func(ks *kustomizev1.Kustomization) {
			ks.Spec.Decryption = &kustomizev1.Decryption{Provider: "sops", SecretRef: &meta.LocalObjectReference{Name: "none"}}
		}, "BuildFailed", []string{"none", "not found"}},
		"wrong-key": {"the keys are another's", map[string]string{"s.yaml": testFile(t, "secret.sops.yaml")}, decryptWith("wrong-key"), "BuildFailed", []string{"s.yaml", "wrong-key", "fits"}},
		"broken-mac": {"it was changed", map[string]string{"s.yaml": strings.Replace(testFile(t, "secret.sops.yaml"), "name: token", "name: other", 1)},
			decryptWith("right-key"), "BuildFailed", []string{"s.yaml", "MAC"}},
		"no-variable": {"a reference is not there", good, func(ks *kustomizev1.Kustomization) {
			ks.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "none"}}}
		}, "BuildFailed", []string{"ConfigMap/none"}},
		"source-missing": {"there is no such source", good, func(ks *kustomizev1.Kustomization) { ks.Spec.SourceRef.Name = "none" }, "ArtifactFailed", []string{"none", "not found"}},
		"alias-bomb":     {"it would grow without end", map[string]string{"bomb.yaml": bomb()}, nil, "BuildFailed", []string{"bomb.yaml", "aliases"}},
	}
	identity, _, err := rendering.GenerateIdentity()
	must(t, err)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			// A world for each: with a shared source the cache may still show the files of the case before.
			w := newWorld(t)
			w.secret("right-key", map[string]string{"test.agekey": testFile(t, "test.agekey")})
			w.secret("wrong-key", map[string]string{"other.agekey": identity})
			w.push("main@sha1:"+name, c.files)
			ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
				ks.Name = name
				if c.change != nil {
					c.change(ks)
				}
			})
			record := w.render(ks, kustomization, failedWith(c.want, c.parts...))
			if record.Rendering != nil {
				t.Errorf("%s: there is a rendering: %+v", c.reason, record.Rendering)
			}
			if strings.Contains(ready(record).Message, "hunter22") {
				t.Errorf("%s: the message repeats a secret", c.reason)
			}
		})
	}
}

func decryptWith(secret string) func(*kustomizev1.Kustomization) {
	return func(ks *kustomizev1.Kustomization) {
		ks.Spec.Decryption = &kustomizev1.Decryption{Provider: "sops", SecretRef: &meta.LocalObjectReference{Name: secret}}
	}
}

func testFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "sops", "testdata", name))
	must(t, err)
	return string(content)
}

// bomb is a document whose aliases stand for more than a billion values.
func bomb() string {
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\ndata:\n  a0: &a0 [x]\n"
	for _, level := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		before := string(level[0] - 1)
		text += "  a" + level + ": &a" + level + " [" + strings.Repeat("*a"+before+",", 9) + "*a" + before + "]\n"
	}
	return text
}

func (w *world) secret(name string, values map[string]string) {
	w.t.Helper()
	must(w.t, cluster.client.Create(w.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: values,
	}))
}

func TestDecryptsAndSeals(t *testing.T) {
	identities := publishRecipients(t)
	w := newWorld(t)
	w.secret("keys", map[string]string{"test.agekey": testFile(t, "test.agekey")})
	w.push("main@sha1:1111", map[string]string{"s.yaml": testFile(t, "secret.sops.yaml"), "settings.yaml": configMap})
	record := w.render(w.kustomization(decryptWith("keys")), kustomization, isReady)
	content := open(t, record, identities)
	i := slices.IndexFunc(content.Objects, func(o rendering.Object) bool { return o.Object.GetKind() == "Secret" })
	if token, _, _ := nested(content, i, "stringData", "token"); token != "hunter22" || !content.Objects[i].Tainted {
		t.Errorf("token %q, tainted %v", token, content.Objects[i].Tainted)
	}
	if len(content.Objects[i].Object.GetAnnotations()) > 0 {
		t.Errorf("annotations %v were left on the object", content.Objects[i].Object.GetAnnotations())
	}
	must(t, filepath.WalkDir(cluster.data, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if data, _ := os.ReadFile(file); strings.Contains(string(data), "hunter22") {
			t.Errorf("%s holds the secret in the clear", file)
		}
		return nil
	}))
}

func TestSubstitutes(t *testing.T) {
	identities := publishRecipients(t)
	w := newWorld(t)
	w.secret("first", map[string]string{"color": "red", "size": "large"})
	vars := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.namespace, Name: "second", Labels: map[string]string{"reconcile.fluxcd.io/watch": "Enabled"},
	}, Data: map[string]string{"color": "green"}}
	must(t, cluster.client.Create(t.Context(), vars))
	w.push("main@sha1:1111", map[string]string{"settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {all: '${color} ${size} ${shape}'}\n"})
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
		ks.Spec.PostBuild = &kustomizev1.PostBuild{
			Substitute: map[string]string{"shape": "round"},
			SubstituteFrom: []kustomizev1.SubstituteReference{
				{Kind: "Secret", Name: "first"}, {Kind: "ConfigMap", Name: "second"}, {Kind: "ConfigMap", Name: "none", Optional: true},
			},
		}
	})
	record := w.render(ks, kustomization, isReady)
	content := open(t, record, identities)
	if all, _, _ := nested(content, 0, "data", "all"); all != "green large round" || !content.Objects[0].Tainted {
		t.Errorf("substituted %q, tainted %v", all, content.Objects[0].Tainted)
	}
	vars.Data["color"] = "black"
	must(t, cluster.client.Update(t.Context(), vars))
	changed := w.render(ks, kustomization, func(r *v1alpha1.Render) bool { return isReady(r) && r.Rendering.Tag != record.Rendering.Tag })
	if all, _, _ := nested(open(t, changed, identities), 0, "data", "all"); all != "black large round" {
		t.Errorf("substituted %q after a watched ConfigMap changed", all)
	}
}

func TestArtifacts(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	ks := w.kustomization(nil)
	w.render(ks, kustomization, waitsWith("ArtifactFailed", "no artifact yet"))

	content := pack(t, map[string]string{"settings.yaml": configMap})
	truncated := w.artifacts.put("main@sha1:1111", content[:len(content)/2])
	w.announce(truncated)
	w.render(ks, kustomization, failedWith("ArtifactFailed", "cut short"))

	wrong := w.artifacts.put("main@sha1:2222", content)
	w.announce(&meta.Artifact{URL: wrong.URL, Path: wrong.Path, Revision: "main@sha1:2222", LastUpdateTime: metav1.Now(), Digest: truncated.Digest[:10] + strings.Repeat("0", 61)})
	w.render(ks, kustomization, failedWith("ArtifactFailed", "digest"))

	late := w.artifacts.put("main@sha1:3333", pack(t, map[string]string{"settings.yaml": configMap, "a": ""}))
	w.artifacts.mu.Lock()
	held := w.artifacts.files["/"+late.Path]
	delete(w.artifacts.files, "/"+late.Path)
	w.artifacts.mu.Unlock()
	w.announce(late)
	eventually(t, func() (bool, string) {
		return w.artifacts.missed("/"+late.Path) > 1, "the artifact was not asked for again"
	})
	w.render(ks, kustomization, waitsWith("ArtifactFailed", "GitRepository", "is not there any more", "Reconcile"))
	w.artifacts.mu.Lock()
	w.artifacts.files["/"+late.Path] = held
	w.artifacts.mu.Unlock()
	good := w.render(ks, kustomization, at("main@sha1:3333"))

	w.push("main@sha1:4444", map[string]string{"bad.yaml": "a: ["})
	failed := w.render(ks, kustomization, failedWith("BuildFailed"))
	if failed.Rendering == nil || *failed.Rendering != *good.Rendering || failed.Source.Revision != "main@sha1:4444" {
		t.Errorf("after a failure the rendering is %+v of %s, want the last good one", failed.Rendering, failed.Source.Revision)
	}
}

func TestRecipients(t *testing.T) {
	identities := publishRecipients(t)
	w := newWorld(t)
	w.push("main@sha1:1111", map[string]string{"settings.yaml": configMap})
	ks := w.kustomization(nil)
	record := w.render(ks, kustomization, isReady)
	open(t, record, identities)

	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: seal.RecipientsConfig}}
	must(t, cluster.client.Get(t.Context(), client.ObjectKeyFromObject(config), config))
	recipient := config.Data[seal.RecipientsName]
	t.Cleanup(func() {
		config.ResourceVersion = ""
		config.Data = map[string]string{seal.RecipientsName: recipient}
		_ = cluster.client.Create(context.Background(), config)
		_ = cluster.client.Update(context.Background(), config)
	})
	identity, second, err := rendering.GenerateIdentity()
	must(t, err)
	setRecipients(t, recipient, second)
	rotated := w.render(ks, kustomization, func(r *v1alpha1.Render) bool {
		return isReady(r) && r.Rendering.Recipients != record.Rendering.Recipients
	})
	if rotated.Rendering.Tag != record.Rendering.Tag || rotated.Rendering.Digest == record.Rendering.Digest {
		t.Errorf("sealed again as %+v, before %+v", rotated.Rendering, record.Rendering)
	}
	added, _, err := rendering.ParseIdentities(identity)
	must(t, err)
	open(t, rotated, added)

	must(t, cluster.client.Delete(t.Context(), config))
	other := w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Name = "other" })
	w.render(other, kustomization, waitsWith("ArtifactFailed", "sync-controller", seal.RecipientsConfig))
	setRecipients(t, recipient)
	w.render(other, kustomization, isReady)
}

func TestIntervalPassWritesNothing(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	w.push("main@sha1:1111", map[string]string{"settings.yaml": configMap})
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
		ks.Spec.Interval = metav1.Duration{Duration: 100 * time.Millisecond}
	})
	first := w.render(ks, kustomization, isReady)
	other := w.kustomization(func(ks *kustomizev1.Kustomization) { ks.Name = "other" })
	w.render(other, kustomization, isReady)
	again := w.render(ks, kustomization, isReady)
	if again.ResourceVersion != first.ResourceVersion {
		t.Error("an interval pass that found nothing wrote the record")
	}
}
