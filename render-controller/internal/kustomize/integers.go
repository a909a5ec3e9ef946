package kustomize

import (
	"bytes"
	"errors"
	"io"
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	kustypes "sigs.k8s.io/kustomize/api/types"

	"github.com/sluice-gitops/sluice/render-controller/internal/schema"
)

// integers keeps integers exact through kustomize, whose JSON patches make every number of the object that they patch a float64. In a
// build that may have such a patch, an integer that float64 does not hold goes through it as a text that nothing else is, and is one
// again when the object is built. The zero value is for one build.
type integers struct {
	// objects are the files that hold objects or patches, and inputs those that generators take as they are.
	objects, inputs map[string]bool
	patched         bool
	// protected are the integers that are texts for now.
	protected map[string]int64
}

// protection marks an integer that is a text for now; [integers.protected] says which of them are ours.
const protection = "sluice.dev/integer/"

var (
	longNumber     = regexp.MustCompile(`[0-9_]{16}|0x[0-9a-fA-F_]{14}`)
	protectedValue = regexp.MustCompile(regexp.QuoteMeta(protection) + `-?[0-9]+`)
)

func (n *integers) any() bool { return len(n.protected) > 0 }

// protectPatches learns what a kustomization's files are for, and returns the kustomization with the integers in its patches protected.
func (n *integers) protectPatches(dir string, k *kustypes.Kustomization, content []byte) []byte {
	if n.objects == nil {
		n.objects, n.inputs = map[string]bool{}, map[string]bool{}
	}
	n.patched = n.patched || len(k.Patches) > 0 || len(k.PatchesJson6902) > 0 || len(k.Transformers) > 0 ||
		len(k.Components) > 0 // which are read after the resources that they patch
	for _, file := range k.Resources {
		n.objects[path.Join(dir, file)] = true
	}
	for _, patch := range append(k.Patches, k.PatchesJson6902...) {
		n.objects[path.Join(dir, patch.Path)] = true
	}
	for _, patch := range k.PatchesStrategicMerge {
		n.objects[path.Join(dir, string(patch))] = true
	}
	for i := range k.ConfigMapGenerator {
		n.take(dir, &k.ConfigMapGenerator[i].KvPairSources)
	}
	for i := range k.SecretGenerator {
		n.take(dir, &k.SecretGenerator[i].KvPairSources)
	}
	if !n.patched || !longNumber.Match(content) {
		return content
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil || len(document.Content) != 1 {
		return content // kustomize says what is wrong with it
	}
	n.protectInline(document.Content[0])
	if out, err := yaml.Marshal(&document); err == nil {
		return out
	}
	return content
}

func (n *integers) take(dir string, sources *kustypes.KvPairSources) {
	for _, source := range sources.FileSources {
		n.inputs[path.Join(dir, fileOf(source))] = true
	}
	for _, source := range append(sources.EnvSources, sources.EnvSource) {
		n.inputs[path.Join(dir, source)] = true
	}
}

// protectInline protects the patches that a kustomization holds as texts.
func (n *integers) protectInline(kustomization *yaml.Node) {
	for i := 0; i+1 < len(kustomization.Content); i += 2 {
		list := kustomization.Content[i+1]
		switch kustomization.Content[i].Value {
		case "patches", "patchesJson6902":
			for _, patch := range list.Content {
				for j := 0; j+1 < len(patch.Content); j += 2 {
					if patch.Content[j].Value == "patch" {
						n.protectNode(patch.Content[j+1])
					}
				}
			}
		case "patchesStrategicMerge":
			for _, patch := range list.Content {
				n.protectNode(patch)
			}
		}
	}
}

func (n *integers) protectNode(text *yaml.Node) {
	if text.Kind == yaml.ScalarNode {
		text.Value = string(n.protect([]byte(text.Value)))
	}
}

// protectFile protects the integers in a file with objects or patches.
func (n *integers) protectFile(name string, content []byte) []byte {
	if !n.patched || !n.objects[name] || n.inputs[name] {
		return content
	}
	return n.protect(content)
}

// protect replaces each integer that float64 does not hold in a stream of YAML. Whatever else is in it stays as it is, to the letter.
func (n *integers) protect(content []byte) []byte {
	if !longNumber.Match(content) {
		return content
	}
	text := lines{text: strings.SplitAfter(string(content), "\n")}
	for decoder := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return text.bytes()
		}
		if err != nil {
			return content // whoever reads it says what is wrong with it
		}
		n.protectScalars(&document, &text)
	}
}

func (n *integers) protectScalars(node *yaml.Node, in *lines) {
	for i, child := range node.Content {
		if node.Kind != yaml.MappingNode || i%2 == 1 { // a key is a text in JSON anyway
			n.protectScalars(child, in)
		}
	}
	var value int64
	if node.Kind != yaml.ScalarNode || node.Style != 0 || node.Tag != "!!int" || node.Decode(&value) != nil || fits(value) {
		return
	}
	text := protection + strconv.FormatInt(value, 10)
	if !in.replace(node, strconv.Quote(text)) {
		return
	}
	if n.protected == nil {
		n.protected = map[string]int64{}
	}
	n.protected[text] = value
}

// fits says whether float64 holds an integer. The conversion of the largest one back is the processor's choice.
func fits(n int64) bool { return n != math.MaxInt64 && int64(float64(n)) == n }

// restore makes integers of their texts. In a field that holds a text, such as one that a replacement has filled, they are their digits.
func (n *integers) restore(object *unstructured.Unstructured, at schema.Field) {
	if n.any() {
		object.Object, _ = n.restored(object.Object, at).(map[string]any)
	}
}

func (n *integers) restored(value any, at schema.Field) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = n.restored(v[key], at.Child(key))
		}
	case []any:
		for i := range v {
			v[i] = n.restored(v[i], at.Item())
		}
	case string:
		if whole, ours := n.protected[v]; ours && at.Type() != schema.String {
			return whole
		}
		return protectedValue.ReplaceAllStringFunc(v, func(text string) string {
			if _, ours := n.protected[text]; ours {
				return strings.TrimPrefix(text, protection)
			}
			return text
		})
	}
	return value
}

// decode reads JSON with integers of 64 bits.
func decode(data []byte) (any, error) {
	var value any
	err := utiljson.Unmarshal(data, &value)
	return value, err
}
