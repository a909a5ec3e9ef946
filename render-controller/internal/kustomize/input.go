package kustomize

import (
	"io/fs"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
)

// Tree is a source artifact: regular files and directories, by slash-separated paths relative to its root, which is ".".
// What is not there is an error that wraps [fs.ErrNotExist].
type Tree interface {
	ReadFile(name string) ([]byte, error)
	// ReadDir returns what is in a directory, by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
}

// Input is everything a build depends on but the tree: the relevant part of a Kustomization's spec, and the values that
// its references hold. It may hold secret values: it is kept in memory and never shown.
type Input struct {
	// Path in the artifact; its root when empty.
	Path                    string                `json:"path,omitempty"`
	TargetNamespace         string                `json:"targetNamespace,omitempty"`
	NamePrefix              string                `json:"namePrefix,omitempty"`
	NameSuffix              string                `json:"nameSuffix,omitempty"`
	Patches                 []fluxkustomize.Patch `json:"patches,omitempty"`
	Images                  []fluxkustomize.Image `json:"images,omitempty"`
	Components              []string              `json:"components,omitempty"`
	IgnoreMissingComponents bool                  `json:"ignoreMissingComponents,omitempty"`
	BuildMetadata           []string              `json:"buildMetadata,omitempty"`
	// Labels and Annotations of spec.commonMetadata.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Substitution is nil without spec.postBuild.
	Substitution *Substitution `json:"substitution,omitempty"`
}

// Substitution is spec.postBuild with its references resolved.
type Substitution struct {
	// Always substitutes even without a variable, so that defaults apply.
	Always bool `json:"always,omitempty"`
	// Variables by name; the last source of a name has won.
	Variables map[string]string `json:"variables,omitempty"`
	// Secret names the variables whose value comes from a Secret.
	Secret []string `json:"secret,omitempty"`
}

// Object is one built object.
type Object struct {
	*unstructured.Unstructured
	// Tainted is set when a secret value may be inside.
	Tainted bool
}

// Result of a build.
type Result struct {
	// Objects in kustomize's order.
	Objects []Object
	// Trace of what was read; nil when it was too much to keep.
	Trace []trace.Entry
	// SchemaChanged is set when the build has changed kustomize's global schema: no other may follow in this process.
	SchemaChanged bool
}

// Decrypter decrypts what a build reads and makes. [Build] does without when it is nil, and then refuses an encrypted
// Secret.
type Decrypter interface {
	// SecretFile, SecretEnv and Plain tell what the generators of a kustomization do with the file at path, before it is
	// read: the value of a key in a Secret, a list of keys and values in a Secret, or something in a ConfigMap.
	SecretFile(path, key string)
	SecretEnv(path string)
	Plain(path string)
	// File returns a file's content in the clear, with marker as an annotation (value "true") on each object that was
	// encrypted, and whether anything was. Spread is set when decrypted values may be in what does not carry the marker.
	File(name string, content []byte, marker string) (clear []byte, decrypted, spread bool, err error)
	// Object decrypts what is still encrypted in a built object, in place, and says whether anything was.
	Object(object *unstructured.Unstructured) (decrypted bool, err error)
	// Leaks says whether a text repeats a value that was decrypted.
	Leaks(text string) bool
}
