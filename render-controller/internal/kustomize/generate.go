package kustomize

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// placeholder stands in a kustomization without resources, which kustomize would refuse as empty.
const placeholder = "_placeholder"

// generate lays the kustomization that Flux would write for the subject over the tree, and returns its directory.
//
// A directory without a kustomization gets one that lists every YAML file below it; a sub-directory with one of its own
// is listed as a directory. What the subject's spec says is then added to it.
func generate(f *fileSystem, in *Input) (dir string, err error) {
	dir, err = subjectDir(f, in.Path)
	if err != nil {
		return "", err
	}
	k, name, err := findOrScan(f, dir)
	if err != nil {
		return "", err
	}
	k.TypeMeta = kustypes.TypeMeta{APIVersion: orDefault(k.APIVersion, kustypes.KustomizationVersion),
		Kind: orDefault(k.Kind, kustypes.KustomizationKind)}
	if err := addSpec(f, dir, k, in); err != nil {
		return "", err
	}
	content, err := yaml.Marshal(k)
	if err != nil {
		return "", fmt.Errorf("write kustomization: %w", err)
	}
	f.overlay[name] = content
	return dir, nil
}

// subjectDir is spec.path in the tree. A leading slash stands for the root of the artifact, as it does for Flux.
func subjectDir(f *fileSystem, specPath string) (string, error) {
	missing := &Failure{PathMissing: true, Message: fmt.Sprintf("kustomization path not found: %q is not in the source artifact", specPath)}
	if strings.ContainsRune(specPath, 0) {
		return "", missing
	}
	dir := path.Clean("./" + specPath)
	if dir == ".." || strings.HasPrefix(dir, "../") {
		return "", &Failure{PathMissing: true, Message: fmt.Sprintf("kustomization path %q leads outside of the source artifact", specPath)}
	}
	if !f.IsDir(mounted(dir)) {
		if f.Exists(mounted(dir)) {
			return "", &Failure{PathMissing: true, Message: fmt.Sprintf("kustomization path %q is a file; it has to be a directory", specPath)}
		}
		return "", missing
	}
	return dir, nil
}

func orDefault(value, other string) string {
	if value == "" {
		return other
	}
	return value
}

// findOrScan returns the kustomization of a directory, or one made from its YAML files, and the name it has or gets.
func findOrScan(f *fileSystem, dir string) (*kustypes.Kustomization, string, error) {
	k := &kustypes.Kustomization{}
	name := kustomizationIn(f, dir)
	if name == "" {
		resources, err := scan(f, dir)
		if err != nil {
			return nil, "", err
		}
		if k.Resources = resources; len(resources) == 0 {
			k.Namespace = placeholder
		}
		return k, path.Join(dir, konfig.DefaultKustomizationFileName()), nil
	}
	content, err := f.read(name)
	if err != nil {
		return nil, "", failure(name, "cannot be read: %v", err)
	}
	if err := checkAliases(name, content); err != nil {
		return nil, "", err
	}
	if err := yaml.Unmarshal(content, k); err != nil {
		return nil, "", failure(name, "invalid kustomization: %v", err)
	}
	if len(k.Resources) == 0 {
		k.BuildMetadata = []string{kustypes.OriginAnnotations} // as Flux does, so that kustomize does not find it empty
	}
	return k, name, nil
}

func kustomizationIn(f *fileSystem, dir string) string {
	for _, base := range konfig.RecognizedKustomizationFileNames() {
		if name := path.Join(dir, base); f.Exists(mounted(name)) && !f.IsDir(mounted(name)) {
			return name
		}
	}
	return ""
}

// scan lists what a kustomization for the directory has to name, as ./paths in lexical order.
func scan(f *fileSystem, dir string) ([]string, error) {
	var found []string
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	err := f.Walk(mounted(dir), func(name string, info fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		inside, err := local(name)
		if err != nil || inside == dir {
			return err
		}
		relative := "./" + strings.TrimPrefix(inside, dir+"/")
		if info.IsDir() {
			if kustomizationIn(f, inside) == "" {
				return nil
			}
			found = append(found, relative)
			return fs.SkipDir
		}
		if extension := path.Ext(inside); !info.Mode().IsRegular() || (extension != ".yaml" && extension != ".yml") {
			return nil
		}
		found = append(found, relative)
		return checkManifests(f, factory, inside)
	})
	return found, err
}

// checkManifests finds out early, with the file's name, whether a file holds Kubernetes objects.
func checkManifests(f *fileSystem, factory *resource.Factory, name string) (err error) {
	defer func() {
		if recover() != nil {
			err = failure(name, "not Kubernetes YAML: kustomize cannot cope with it")
		}
	}()
	content, err := f.ReadFile(mounted(name))
	var known *Failure
	if errors.As(err, &known) {
		return known
	}
	if err != nil {
		return failure(name, "cannot be read: %v", err)
	}
	if _, err := factory.SliceFromBytes(content); err != nil {
		return failure(name, "failed to decode Kubernetes YAML: %s", readable(err.Error()))
	}
	return nil
}

// addSpec adds what the subject's spec says, by Flux's rules.
func addSpec(f *fileSystem, dir string, k *kustypes.Kustomization, in *Input) error {
	k.Namespace = orDefault(in.TargetNamespace, k.Namespace)
	k.NamePrefix = orDefault(in.NamePrefix, k.NamePrefix)
	k.NameSuffix = orDefault(in.NameSuffix, k.NameSuffix)
	for _, patch := range in.Patches {
		k.Patches = append(k.Patches, kustypes.Patch{Patch: patch.Patch, Target: selector(patch.Target)})
	}
	for _, component := range in.Components {
		if in.IgnoreMissingComponents && !isRemote(component) && !f.Exists(mounted(path.Join(dir, component))) {
			continue
		}
		k.Components = append(k.Components, component)
	}
	for _, image := range in.Images {
		k.Images = addImage(k.Images, image)
	}
	if len(in.BuildMetadata) > 0 {
		k.BuildMetadata = in.BuildMetadata
	}
	for i, component := range in.Components {
		e := entry{fmt.Sprintf("components[%d]", i), component}
		if err := checkEntry(path.Join(dir, konfig.DefaultKustomizationFileName()), e); err != nil {
			var refused *Failure
			if errors.As(err, &refused) {
				return failure("", "spec.%s", refused.Message)
			}
			return err
		}
	}
	return nil
}

func selector(from *fluxkustomize.Selector) *kustypes.Selector {
	if from == nil {
		return nil
	}
	to := &kustypes.Selector{LabelSelector: from.LabelSelector, AnnotationSelector: from.AnnotationSelector}
	to.Group, to.Version, to.Kind = from.Group, from.Version, from.Kind
	to.Name, to.Namespace = from.Name, from.Namespace
	return to
}

// addImage merges an image into those that the kustomization names. Tag and digest choose a version together: setting one
// of them replaces both.
func addImage(images []kustypes.Image, image fluxkustomize.Image) []kustypes.Image {
	i := slices.IndexFunc(images, func(known kustypes.Image) bool { return known.Name == image.Name })
	if i < 0 {
		return append(images, kustypes.Image{
			Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest,
		})
	}
	images[i].NewName = orDefault(image.NewName, images[i].NewName)
	if image.NewTag != "" || image.Digest != "" {
		images[i].NewTag, images[i].Digest = image.NewTag, image.Digest
	}
	return images
}
