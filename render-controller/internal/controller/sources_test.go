package controller_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// originKey is where OCI artifacts say what they were made from.
const originKey = "org.opencontainers.image.revision"

// named creates an object of each kind of source, and returns a function that has it announce an artifact.
func (w *world) named(kind string) (source client.Object, announce func(*meta.Artifact)) {
	w.t.Helper()
	hour := metav1.Duration{Duration: time.Hour}
	name := metav1.ObjectMeta{Namespace: w.namespace, Name: "from"}
	var status func(*meta.Artifact)
	switch kind {
	case "OCIRepository":
		o := &sourcev1.OCIRepository{ObjectMeta: name, Spec: sourcev1.OCIRepositorySpec{URL: "oci://registry.example.com/app", Interval: hour}}
		source, status = o, func(a *meta.Artifact) { o.Status.Artifact, o.Status.ObservedGeneration = a, o.Generation }
	case "Bucket":
		o := &sourcev1.Bucket{ObjectMeta: name, Spec: sourcev1.BucketSpec{BucketName: "app", Endpoint: "s3.example.com", Interval: hour}}
		source, status = o, func(a *meta.Artifact) { o.Status.Artifact, o.Status.ObservedGeneration = a, o.Generation }
	case "ExternalArtifact":
		o := &sourcev1.ExternalArtifact{ObjectMeta: name}
		source, status = o, func(a *meta.Artifact) { o.Status.Artifact = a }
	case "HelmChart":
		o := &sourcev1.HelmChart{ObjectMeta: name, Spec: sourcev1.HelmChartSpec{Chart: "web", Interval: hour,
			SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: "HelmRepository", Name: "charts"}}}
		source, status = o, func(a *meta.Artifact) { o.Status.Artifact, o.Status.ObservedGeneration = a, o.Generation }
	default:
		w.t.Fatalf("no source of kind %s", kind)
	}
	must(w.t, cluster.client.Create(w.t.Context(), source))
	return source, func(a *meta.Artifact) {
		w.t.Helper()
		status(a.DeepCopy())
		must(w.t, cluster.client.Status().Update(w.t.Context(), source))
	}
}

func TestKustomizationFromEverySource(t *testing.T) {
	identities := publishRecipients(t)
	for _, kind := range []string{"OCIRepository", "Bucket", "ExternalArtifact"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
				ks.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: kind, Name: "from"}
			})
			w.render(ks, kustomization, failedWith("ArtifactFailed", kind+" '"+w.namespace+"/from' not found"))
			source, announce := w.named(kind)
			w.render(ks, kustomization, waitsWith("ArtifactFailed", kind+" '"+w.namespace+"/from' has no artifact yet"))

			artifact := w.artifacts.put("latest@sha256:1111", pack(t, map[string]string{"settings.yaml": configMap}))
			artifact.Metadata = map[string]string{originKey: "main@sha1:aaaa"}
			announce(artifact)
			record := w.render(ks, kustomization, isReady)
			if record.Source.Kind != kind || record.Source.UID != source.GetUID() || record.Source.Digest != artifact.Digest ||
				record.Source.OriginRevision != "main@sha1:aaaa" || record.Source.Revision != "latest@sha256:1111" {
				t.Errorf("the record speaks of another source: %+v", record.Source)
			}
			if content := open(t, record, identities); content.Objects[0].Object.GetName() != "settings" {
				t.Errorf("content %+v", content)
			}

			moved := w.artifacts.put("latest@sha256:2222", pack(t, map[string]string{"settings.yaml": strings.Replace(configMap, "blue", "red", 1)}))
			announce(moved)
			next := w.render(ks, kustomization, at("latest@sha256:2222"))
			if next.Rendering.Tag == record.Rendering.Tag || next.Source.OriginRevision != "" {
				t.Errorf("rendering %+v of %+v", next.Rendering, next.Source)
			}
			must(t, cluster.client.Delete(t.Context(), source))
			w.render(ks, kustomization, func(r *v1alpha1.Render) bool {
				return failedWith("ArtifactFailed", kind, "not found")(r) && *r.Rendering == *next.Rendering
			})
		})
	}
}

// TestOriginAloneIsNews: the same artifact with another origin is written down, and nothing is sealed again.
func TestOriginAloneIsNews(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	_, announce := w.named("ExternalArtifact")
	artifact := w.artifacts.put("latest@sha256:1111", pack(t, map[string]string{"settings.yaml": configMap, "origin": ""}))
	announce(artifact)
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
		ks.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: "ExternalArtifact", Name: "from"}
	})
	before := w.render(ks, kustomization, isReady)
	artifact.Metadata = map[string]string{originKey: "main@sha1:bbbb"}
	announce(artifact)
	after := w.render(ks, kustomization, func(r *v1alpha1.Render) bool { return r.Source.OriginRevision == "main@sha1:bbbb" })
	if *after.Rendering != *before.Rendering {
		t.Errorf("sealed again: %+v, before %+v", after.Rendering, before.Rendering)
	}
}

func TestReleaseFromChartRef(t *testing.T) {
	identities := publishRecipients(t)
	const first, second = "111111111111aaaa", "222222222222bbbb"
	cases := map[string]struct {
		reason          string
		kind            string
		revision, moved string
		version, next   string
	}{
		"chart":    {"the chart's version is the revision", "HelmChart", "1.0.0", "1.1.0", "1.0.0", "1.1.0"},
		"tag":      {"a tag can be moved: its digest is part of the version", "OCIRepository", "1.0.0@sha256:" + first, "1.1.0@sha256:" + second, "1.0.0+111111111111", "1.1.0+222222222222"},
		"latest":   {"any tag that is no version will do", "OCIRepository", "latest@sha256:" + first, "latest@sha256:" + second, "1.0.0+111111111111", "1.1.0+222222222222"},
		"digest":   {"a source pinned by digest has no tag", "OCIRepository", "sha256:" + first, "sha256:" + second, "1.0.0+111111111111", "1.1.0+222222222222"},
		"external": {"as from a registry", "ExternalArtifact", "latest@sha256:" + first, "latest@sha256:" + second, "1.0.0+111111111111", "1.1.0+222222222222"},
		"semver":   {"without a digest there is nothing to add", "ExternalArtifact", "1.0.0", "1.1.0", "1.0.0", "1.1.0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			hr := w.release(chartRef(c.kind))
			w.render(hr, helmRelease, failedWith("ArtifactFailed", c.kind, "from' not found"))
			source, announce := w.named(c.kind)
			w.render(hr, helmRelease, waitsWith("SourceNotReady", c.kind+" '"+w.namespace+"/from' is not ready"))
			announce(w.artifacts.put(c.revision, pack(t, chart("1.0.0"))))
			record := w.render(hr, helmRelease, isReady)
			if record.Source.Kind != c.kind || record.Source.UID != source.GetUID() || record.Source.Revision != c.revision ||
				record.Rendering.Version != c.version {
				t.Errorf("%s: source %+v, version %q, want %q", c.reason, record.Source, record.Rendering.Version, c.version)
			}
			if !bytes.Contains(open(t, record, identities).Release, []byte(`"version":"`+c.version+`"`)) {
				t.Errorf("%s: the release does not record chart version %s", c.reason, c.version)
			}
			announce(w.artifacts.put(c.moved, pack(t, chart("1.1.0"))))
			next := w.render(hr, helmRelease, at(c.moved))
			if next.Rendering.Version != c.next || next.Rendering.Tag == record.Rendering.Tag {
				t.Errorf("%s: version %q, want %q, tag %s", c.reason, next.Rendering.Version, c.next, next.Rendering.Tag)
			}
		})
	}
}

func chartRef(kind string) func(*helmv2.HelmRelease) {
	return func(hr *helmv2.HelmRelease) {
		hr.Spec.Chart, hr.Spec.ChartRef = nil, &helmv2.CrossNamespaceSourceReference{Kind: kind, Name: "from"}
	}
}

// TestMovedTagOfTheSameChart: the chart is the same file, and its release another one, as in Flux.
func TestMovedTagOfTheSameChart(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	_, announce := w.named("OCIRepository")
	content := pack(t, chart("1.0.0"))
	announce(w.artifacts.put("1.0.0@sha256:111111111111aaaa", content))
	hr := w.release(chartRef("OCIRepository"))
	before := w.render(hr, helmRelease, isReady)
	announce(w.artifacts.put("1.0.0@sha256:222222222222bbbb", content))
	after := w.render(hr, helmRelease, at("1.0.0@sha256:222222222222bbbb"))
	if after.Rendering.Tag == before.Rendering.Tag || after.Rendering.Version != "1.0.0+222222222222" {
		t.Errorf("rendering %+v, before %+v", after.Rendering, before.Rendering)
	}
}

func TestChartRefFailures(t *testing.T) {
	publishRecipients(t)
	good := chart("1.0.0")
	cases := map[string]struct {
		reason   string
		revision string
		files    map[string]string
		want     string
		parts    []string
	}{
		"other-version": {"the tag promises another chart", "1.0.1@sha256:111111111111", good, "ChartMutateError", []string{"1.0.1 does not match chart version 1.0.0"}},
		"no-digest":     {"there is nothing to tell a moved tag by", "latest", good, "ChartMutateError", []string{"latest has no digest"}},
		"short-digest":  {"nor here", "latest@sha256:1111", good, "ChartMutateError", []string{"has no digest"}},
		"no-chart":      {"a tree of manifests", "latest@sha256:111111111111", map[string]string{"app/settings.yaml": configMap}, "ArtifactFailed", []string{"could not load chart", "Chart.yaml"}},
		"no-folder":     {"a chart without a folder around it", "latest@sha256:111111111111", map[string]string{"Chart.yaml": good["web/Chart.yaml"]}, "ArtifactFailed", []string{"could not load chart"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, announce := w.named("OCIRepository")
			announce(w.artifacts.put(c.revision, pack(t, c.files)))
			hr := w.release(chartRef("OCIRepository"))
			if record := w.render(hr, helmRelease, failedWith(c.want, c.parts...)); record.Rendering != nil {
				t.Errorf("%s: there is a rendering: %+v", c.reason, record.Rendering)
			}
		})
	}
}

// TestHelmChartFromEverySource: the HelmChart is made for spec.chart, from every kind that it can be made from.
func TestHelmChartFromEverySource(t *testing.T) {
	publishRecipients(t)
	for _, kind := range []string{"GitRepository", "HelmRepository", "Bucket"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			hr := w.release(func(hr *helmv2.HelmRelease) {
				hr.Spec.Chart.Spec.SourceRef.Kind = kind
				hr.Spec.Chart.Spec.Version = ">=1.0.0"
				hr.Spec.Chart.Spec.Verify = &helmv2.HelmChartTemplateVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
				if kind != "HelmRepository" {
					hr.Spec.Chart.Spec.Verify = nil
				}
			})
			made := w.helmChart(hr)
			if made.Spec.SourceRef.Kind != kind || made.Spec.SourceRef.Name != "app" || made.Spec.Version != ">=1.0.0" ||
				(kind == "HelmRepository") != (made.Spec.Verify != nil && made.Spec.Verify.SecretRef.Name == "keys") {
				t.Errorf("the HelmChart asks for %+v", made.Spec)
			}
			w.announceChart(made, w.artifacts.put("1.0.0", pack(t, chart("1.0.0"))))
			w.render(hr, helmRelease, at("1.0.0"))
		})
	}
}

// TestStalledChart: what a source has is not taken for what its spec asks for.
func TestStalledChart(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	hr := w.release(nil)
	made := w.packaged(hr, "1.0.0")
	w.render(hr, helmRelease, isReady)
	made.Status.Conditions = []metav1.Condition{
		{Type: meta.StalledCondition, Status: metav1.ConditionTrue, Reason: "InvalidChartReference", Message: "no such chart", LastTransitionTime: metav1.Now()},
		{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Reason: "InvalidChartReference", Message: "no such chart", LastTransitionTime: metav1.Now()},
	}
	must(t, cluster.client.Status().Update(t.Context(), made))
	w.render(hr, helmRelease, failedWith("SourceNotReady", "HelmChart", "is not ready: no such chart"))
	made.Status.Conditions = nil
	must(t, cluster.client.Status().Update(t.Context(), made))
	w.render(hr, helmRelease, isReady)
}

// TestSuspendedSourceIsUsed: nobody looks at its new generation, and what it has stays good.
func TestSuspendedSourceIsUsed(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	source, announce := w.named("OCIRepository")
	announce(w.artifacts.put("1.0.0@sha256:111111111111aaaa", pack(t, chart("1.0.0"))))
	before := source.DeepCopyObject().(client.Object)
	source.(*sourcev1.OCIRepository).Spec.Suspend = true
	must(t, cluster.client.Patch(t.Context(), source, client.MergeFrom(before)))
	w.render(w.release(chartRef("OCIRepository")), helmRelease, isReady)
}

// TestRequestReadsTheSourceLive: the token is handed over with the artifact as it was after the token, whatever the cache shows.
func TestRequestReadsTheSourceLive(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	_, announce := w.named("Bucket")
	announce(w.artifacts.put("sha256:0", pack(t, map[string]string{"settings.yaml": configMap})))
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
		ks.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: "Bucket", Name: "from"}
	})
	w.render(ks, kustomization, isReady)
	for i := 1; i <= 10; i++ {
		revision, token := fmt.Sprintf("sha256:%d", i), fmt.Sprintf("token-%d", i)
		announce(w.artifacts.put(revision, pack(t, map[string]string{"settings.yaml": configMap, "n": revision})))
		request(t, ks, token)
		record := w.render(ks, kustomization, func(r *v1alpha1.Render) bool { return r.Subject.RequestedAt == token })
		if record.Source.Revision != revision {
			t.Fatalf("%s was answered with %s, want %s", token, record.Source.Revision, revision)
		}
	}
}

// TestS08ExternalArtifact: whoever writes the status of an ExternalArtifact chooses URL and digest. Nothing is unpacked that
// does not have the digest, and nothing is told of what was there instead.
func TestS08ExternalArtifact(t *testing.T) {
	publishRecipients(t)
	content := pack(t, map[string]string{"settings.yaml": configMap, "s08": ""})
	flipped := bytes.Clone(content)
	flipped[len(flipped)/2] ^= 1
	w := newWorld(t)
	_, announce := w.named("ExternalArtifact")
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
		ks.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: "ExternalArtifact", Name: "from"}
	})
	good := w.artifacts.put("good", content)
	other := w.artifacts.put("other", pack(t, map[string]string{"settings.yaml": strings.Replace(configMap, "blue", "other-tenants", 1)}))
	cases := map[string]struct {
		reason string
		url    string
		digest string
		want   string
	}{
		"flipped":     {"one bit is another", w.artifacts.put("", flipped).URL, good.Digest, "does not have the digest"},
		"truncated":   {"it ends early", w.artifacts.put("", content[:len(content)-9]).URL, good.Digest, "does not have the digest"},
		"swapped":     {"it is another's", other.URL, good.Digest, "does not have the digest"},
		"weak":        {"SHA-1 can be forged", good.URL, "sha1:" + strings.Repeat("0", 40), "unsupported digest algorithm"},
		"no hex":      {"a digest is hexadecimal", good.URL, "sha256:zz", "digest"},
		"file":        {"no file of this machine", "file:///etc/passwd", good.Digest, "not an HTTP URL"},
		"other":       {"no other protocol", "gopher://example.com/", good.Digest, "not an HTTP URL"},
		"nothing":     {"no URL at all", "settings.tar.gz", good.Digest, "not an HTTP URL"},
		"credentials": {"no credentials", strings.Replace(good.URL, "http://", "http://ada:hunter22@", 1), good.Digest, "no artifact is fetched with credentials"},
		"metadata":    {"not what a cloud tells its machines", "http://169.254.169.254/latest/meta-data/", good.Digest, "address of the machine"},
		"mapped":      {"nor in another notation", "http://[::ffff:169.254.169.254]/", good.Digest, "address of the machine"},
		"redirect":    {"nor anywhere else", w.artifacts.redirect("http://169.254.169.254/latest/"), good.Digest, "redirects are not followed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w.t = t
			announce(&meta.Artifact{URL: c.url, Path: "x", Digest: c.digest, Revision: "r@sha256:" + name, LastUpdateTime: metav1.Now()})
			record := w.render(ks, kustomization, func(r *v1alpha1.Render) bool {
				return r.Source.Revision == "r@sha256:"+name && failedWith("ArtifactFailed", "ExternalArtifact", c.want)(r)
			})
			if message := ready(record).Message; strings.Contains(message, "hunter22") || record.Rendering != nil {
				t.Errorf("%s: %q, rendering %+v", c.reason, message, record.Rendering)
			}
		})
	}
	w.t = t
	announce(good)
	w.render(ks, kustomization, at("good"))
}

// TestF37CorruptInTransit: what arrives is not what was announced; what was rendered before stays named, and the next artifact
// is taken.
func TestF37CorruptInTransit(t *testing.T) {
	identities := publishRecipients(t)
	w := newWorld(t)
	_, announce := w.named("ExternalArtifact")
	announce(w.artifacts.put("latest@sha256:1111", pack(t, map[string]string{"settings.yaml": configMap, "f37": "1"})))
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
		ks.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: "ExternalArtifact", Name: "from"}
	})
	good := w.render(ks, kustomization, isReady)
	next := w.artifacts.put("latest@sha256:2222", pack(t, map[string]string{"settings.yaml": configMap, "f37": "2"}))
	for damage, broken := range map[string]*meta.Artifact{
		"length": w.artifacts.damaged(next, func(content []byte) []byte { return append(content, 0) }),
		"bits":   w.artifacts.damaged(next, func(content []byte) []byte { content[9] ^= 1; return content }),
	} {
		broken.Revision = damage
		announce(broken)
		failed := w.render(ks, kustomization, func(r *v1alpha1.Render) bool {
			return r.Source.Revision == damage && failedWith("ArtifactFailed", "ExternalArtifact", "does not have the digest")(r)
		})
		if failed.Rendering == nil || *failed.Rendering != *good.Rendering {
			t.Errorf("rendering %+v, want the last good one", failed.Rendering)
		}
		open(t, failed, identities)
	}
	announce(next)
	w.render(ks, kustomization, at("latest@sha256:2222"))
}

// TestServerOfOthersIsDown: nothing but asking again tells that whoever made the artifact is back.
func TestServerOfOthersIsDown(t *testing.T) {
	publishRecipients(t)
	w := newWorld(t)
	_, announce := w.named("ExternalArtifact")
	w.artifacts.breakDown(true)
	announce(w.artifacts.put("latest@sha256:1111", pack(t, map[string]string{"settings.yaml": configMap, "down": "1"})))
	ks := w.kustomization(func(ks *kustomizev1.Kustomization) {
		ks.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: "ExternalArtifact", Name: "from"}
	})
	w.render(ks, kustomization, failedWith("ArtifactFailed", "ExternalArtifact", "asked for every"))
	w.artifacts.breakDown(false)
	w.render(ks, kustomization, isReady)
}
