package kustomize

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	kustypes "sigs.k8s.io/kustomize/api/types"

	"github.com/sluice-gitops/sluice/render-controller/internal/schema"
	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
)

// marker is an annotation that objects from decrypted files carry through a build. It never leaves it.
const marker = "render.sluice.dev/tainted"

// MaxObjects is how many objects a build may give.
const MaxObjects = 20_000

// build is one build under way.
type build struct {
	files     *fileSystem
	decrypter Decrypter
	recorder  trace.Recorder
	// schemaChanged is set when a kustomization brings a schema of its own.
	schemaChanged bool
	// copies is set when a kustomization copies values between objects, so that taint may be anywhere.
	copies    bool
	decrypted bool
	// clear holds the files that were decrypted: some are read twice.
	clear    map[string][]byte
	integers integers
}

// Build makes the objects of a subject from the tree. An error is a [*Failure] when the user can mend it. Nothing that was
// decrypted is ever in an error. A build is not interrupted: its process is, when it takes too long.
func Build(tree Tree, in *Input, decrypter Decrypter) (result Result, err error) {
	b := &build{decrypter: decrypter, clear: map[string][]byte{}}
	b.files = &fileSystem{tree: tree, overlay: map[string][]byte{}, filter: b.filter, recorder: &b.recorder}
	defer func() {
		if recover() != nil {
			result, err = Result{}, failure("", "kustomize cannot cope with what it was given, and gave up")
		}
	}()
	dir, err := generate(b.files, in)
	if err != nil {
		return Result{}, b.explain(err)
	}
	built, err := b.run(dir)
	if err != nil {
		return Result{}, b.explain(err)
	}
	objects, err := b.finish(built, in)
	if err != nil {
		return Result{}, b.explain(err)
	}
	return Result{Objects: objects, Trace: b.recorder.Entries(), SchemaChanged: b.schemaChanged}, nil
}

// run calls kustomize: files from anywhere in the tree, no plugins, the schema that kustomize brings.
func (b *build) run(dir string) (resmap.ResMap, error) {
	kustomizer := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: kustypes.LoadRestrictionsNone,
		PluginConfig:     kustypes.DisabledPluginConfig(),
	})
	built, err := kustomizer.Run(b.files, mounted(dir))
	if b.files.refusal != nil {
		return nil, b.files.refusal
	}
	if err != nil {
		return nil, fmt.Errorf("kustomize build failed: %w", err)
	}
	if built.Size() > MaxObjects {
		return nil, failure("", "the build gives %d objects, more than the %d that are allowed", built.Size(), MaxObjects)
	}
	return built, nil
}

// filter sees each file on its way to kustomize.
func (b *build) filter(name string, content []byte) ([]byte, error) {
	if err := checkAliases(name, content); err != nil {
		return nil, err
	}
	if isKustomization(name) {
		return b.inspect(name, content)
	}
	content, err := b.decrypt(name, content)
	if err != nil {
		return nil, err
	}
	if err := inspectDocument(name, content); err != nil {
		return nil, err
	}
	return b.integers.protectFile(name, content), nil
}

func (b *build) decrypt(name string, content []byte) ([]byte, error) {
	if b.decrypter == nil {
		return content, nil
	}
	if known, ok := b.clear[name]; ok {
		return known, nil
	}
	clear, decrypted, spread, err := b.decrypter.File(name, content, marker)
	if err != nil {
		return nil, failure(name, "cannot be decrypted: %v", err)
	}
	if decrypted {
		b.decrypted, b.clear[name] = true, clear
	}
	b.copies = b.copies || spread
	return clear, nil
}

func (b *build) inspect(name string, content []byte) ([]byte, error) {
	k, err := inspect(name, content)
	if err != nil || k == nil {
		return content, err
	}
	b.schemaChanged = b.schemaChanged || len(k.OpenAPI) > 0
	b.copies = b.copies || len(k.Replacements) > 0 || len(k.Vars) > 0 || len(k.Transformers) > 0
	if b.decrypter != nil {
		announce(b.decrypter, path.Dir(name), k)
	}
	return b.integers.protectPatches(path.Dir(name), k, content), nil
}

// announce tells the decrypter what the generators of a kustomization do with their files.
func announce(decrypter Decrypter, dir string, k *kustypes.Kustomization) {
	for i := range k.SecretGenerator {
		sources := &k.SecretGenerator[i].KvPairSources
		for _, source := range sources.FileSources {
			key, file, named := strings.Cut(source, "=")
			if !named {
				key, file = path.Base(source), source
			}
			decrypter.SecretFile(path.Join(dir, file), key)
		}
		for _, source := range append([]string{sources.EnvSource}, sources.EnvSources...) {
			decrypter.SecretEnv(path.Join(dir, source))
		}
	}
	for i := range k.ConfigMapGenerator {
		sources := &k.ConfigMapGenerator[i].KvPairSources
		for _, source := range sources.FileSources {
			decrypter.Plain(path.Join(dir, fileOf(source)))
		}
		for _, source := range append([]string{sources.EnvSource}, sources.EnvSources...) {
			decrypter.Plain(path.Join(dir, source))
		}
	}
}

// finish turns what kustomize built into objects: decrypted, substituted, with the common metadata.
func (b *build) finish(built resmap.ResMap, in *Input) ([]Object, error) {
	schemas, err := b.schemas(built, in)
	if err != nil {
		return nil, err
	}
	objects := make([]Object, 0, built.Size())
	for _, res := range built.Resources() {
		tainted, err := unmark(res)
		if err != nil {
			return nil, err
		}
		object, err := b.read(res, schemas)
		if err != nil {
			return nil, err
		}
		objects = append(objects, Object{Unstructured: object, Tainted: tainted})
	}
	substitute := newSubstituter(in.Substitution, schemas)
	kept := objects[:0]
	for _, object := range objects {
		object, err := b.finishOne(object, substitute)
		if err != nil {
			return nil, err
		}
		if object.GetAPIVersion() == kustypes.KustomizationVersion && object.GetKind() == kustypes.KustomizationKind {
			continue
		}
		addMetadata(object.Unstructured, in)
		object.Tainted = object.Tainted || (b.decrypted && b.copies)
		kept = append(kept, object)
	}
	return kept, nil
}

func (b *build) finishOne(object Object, substitute *substituter) (Object, error) {
	if err := b.decryptBuilt(&object); err != nil {
		return Object{}, err
	}
	secret, err := substitute.apply(object.Unstructured)
	if err != nil {
		return Object{}, err
	}
	if object.GetAPIVersion() == "" {
		return Object{}, failure("", "%s/%s is not a Kubernetes object", object.GetKind(), object.GetName())
	}
	object.Tainted = object.Tainted || secret || isSecret(object.Unstructured)
	return object, nil
}

// decryptBuilt decrypts what is still encrypted in a built object. Without a decrypter an encrypted Secret is refused.
func (b *build) decryptBuilt(object *Object) error {
	if optedOut(object.Unstructured) {
		return nil
	}
	if b.decrypter == nil {
		return refuseEncrypted(object.Unstructured)
	}
	decrypted, err := b.decrypter.Object(object.Unstructured)
	if err != nil {
		return failure("", "cannot be decrypted: %v", err)
	}
	if !decrypted {
		return refuseEncrypted(object.Unstructured)
	}
	object.Tainted, b.decrypted = true, true
	return nil
}

// schemas are those of the definitions in the build, where anything asks for them.
func (b *build) schemas(built resmap.ResMap, in *Input) (*schema.Set, error) {
	set := &schema.Set{}
	if in.Substitution == nil && !b.copies && !b.integers.any() {
		return set, nil
	}
	for _, res := range built.Resources() {
		if res.GetKind() != "CustomResourceDefinition" {
			continue
		}
		object, err := toUnstructured(res)
		if err != nil {
			return nil, err
		}
		set.Add(object.Object)
	}
	return set, nil
}

// read takes an object out of kustomize's hands. From here on its integers are exact.
func (b *build) read(res *resource.Resource, schemas *schema.Set) (*unstructured.Unstructured, error) {
	if b.copies {
		keepTypes(res.YNode(), schemas.Of(res.GetApiVersion(), res.GetKind()))
	}
	object, err := toUnstructured(res)
	if err != nil {
		return nil, err
	}
	b.integers.restore(object, schemas.Of(object.GetAPIVersion(), object.GetKind()))
	return object, nil
}

func toUnstructured(res *resource.Resource) (*unstructured.Unstructured, error) {
	spellOut(res.YNode())
	data, err := res.MarshalJSON()
	if err != nil {
		if key := repeatedKey(res.YNode()); key != "" {
			return nil, failure("", "%s/%s sets %s twice: keep one of the two", res.GetKind(), res.GetName(), key)
		}
		return nil, failure("", "%s/%s cannot be written as JSON", res.GetKind(), res.GetName())
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(data); err != nil || object.GetAPIVersion() == "" {
		return nil, failure("", "%s/%s is not a Kubernetes object", res.GetKind(), res.GetName())
	}
	return object, nil
}

// explain turns an error into one for the user. What kustomize says may repeat what it read: it is withheld when that was
// decrypted.
func (b *build) explain(err error) error {
	var known *Failure
	if !errors.As(err, &known) {
		known = failure("", "%s", readable(err.Error()))
	}
	if b.decrypted && b.decrypter.Leaks(known.Message) {
		return &Failure{PathMissing: known.PathMissing, File: known.File,
			Message: "kustomize build failed; its message is withheld because it repeats a decrypted value"}
	}
	return known
}
