package sops

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// decryptKey on an object, with the value "disabled", leaves it as it is.
const (
	decryptKey = "kustomize.toolkit.fluxcd.io/decrypt"
	disabled   = "disabled"
)

// Options configures a [Decrypter].
type Options struct {
	// Unwrap decrypts a data key, where the keys are.
	Unwrap func(WrappedKey) ([]byte, error)
	// WarnOnMAC accepts a file whose MAC does not fit, with a warning.
	WarnOnMAC bool
}

// Decrypter decrypts what one build reads and makes. It is for one goroutine.
type Decrypter struct {
	options Options
	// sources are the inputs of secret generators, by path, with the format that their entry implies.
	sources map[string]source
	// plain are the inputs of config map generators, which are never decrypted.
	plain    map[string]bool
	secrets  []string
	warnings []string
	current  string // what is being decrypted, for warnings
}

type source struct{ in, out formats.Format }

// New returns a decrypter for one build.
func New(options Options) *Decrypter {
	return &Decrypter{options: options, sources: map[string]source{}, plain: map[string]bool{}}
}

// Warnings returns what the user should know although it did not fail.
func (d *Decrypter) Warnings() []string { return d.warnings }

func (d *Decrypter) warn(message string) {
	d.warnings = append(d.warnings, d.current+": "+message)
}

// SecretFile says that a secret generator takes the file at path as the value of a key.
func (d *Decrypter) SecretFile(path, key string) {
	format := formatOf(key)
	d.sources[path] = source{in: format, out: format}
}

// SecretEnv says that a secret generator takes the file at path as a list of keys and values.
func (d *Decrypter) SecretEnv(path string) {
	format := formatOf(path)
	if format == formats.Binary {
		format = formats.Dotenv
	}
	d.sources[path] = source{in: format, out: formats.Dotenv}
}

// Plain says that a config map generator takes the file at path.
func (d *Decrypter) Plain(path string) { d.plain[path] = true }

// File returns the content of a file in the clear. Each object that was encrypted carries the annotation marker, with the
// value "true". Spread is set when decrypted values may be in what has no place for it.
func (d *Decrypter) File(name string, content []byte, marker string) (clear []byte, decrypted, spread bool, err error) {
	if d.plain[name] {
		return content, false, false, nil
	}
	defer rescue(&err)
	d.current = name
	if from, generated := d.sources[name]; generated {
		clear, decrypted, err = d.value(content, from)
		return clear, decrypted, false, err
	}
	if !hasBlock(content) {
		return content, false, false, nil
	}
	if bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) {
		return d.jsonFile(content, marker)
	}
	return d.yamlFile(content, marker)
}

func (d *Decrypter) check() macCheck {
	if d.options.WarnOnMAC {
		return macWarn
	}
	return macEnforce
}

// value decrypts a content that is one unit. One that is encrypted in another format than its name implies stays in that.
func (d *Decrypter) value(content []byte, as source) (clear []byte, decrypted bool, err error) {
	if !isEncrypted(content, as.in) {
		format, encrypted := foundIn(content)
		if !encrypted {
			return content, false, nil
		}
		as = source{in: format, out: format}
	}
	tree, err := load(content, as.in)
	if err != nil {
		return nil, false, err
	}
	if err := d.decryptTree(&tree, d.check()); err != nil {
		return nil, false, err
	}
	clear, err = emit(tree.Branches, as.out)
	return clear, err == nil, err
}

func (d *Decrypter) jsonFile(content []byte, marker string) (clear []byte, decrypted, spread bool, err error) {
	if block, err := blockOf(content); err != nil || block == nil {
		return content, false, false, err
	}
	tree, err := load(content, formats.Json)
	if err != nil {
		return nil, false, false, err
	}
	if err := d.decryptTree(&tree, d.check()); err != nil {
		return nil, false, false, err
	}
	for _, branch := range tree.Branches {
		spread = !mark(branch, marker) || spread
	}
	clear, err = emit(tree.Branches, formats.Json)
	return clear, true, spread, err
}

func (d *Decrypter) yamlFile(content []byte, marker string) (clear []byte, decrypted, spread bool, err error) {
	documents, err := split(content)
	if err != nil {
		return nil, false, false, err
	}
	encrypted, err := units(documents)
	if err != nil || len(encrypted) == 0 {
		return content, false, false, err
	}
	for _, u := range encrypted {
		scattered, err := d.unit(documents, u, marker)
		if err != nil {
			return nil, false, false, err
		}
		spread = spread || scattered
	}
	return join(documents), true, spread, nil
}

// unit decrypts the documents of a unit in place.
func (d *Decrypter) unit(documents [][]byte, u unit, marker string) (spread bool, err error) {
	members := make([][]byte, 0, len(u.members))
	for _, i := range u.members {
		members = append(members, documents[i])
	}
	tree, err := load(join(members), formats.Yaml)
	if err != nil {
		return false, err
	}
	if len(tree.Branches) != len(members) {
		return false, errDocuments
	}
	if err := d.decryptTree(&tree, d.check()); err != nil {
		return false, err
	}
	for n, i := range u.members {
		spread = !mark(tree.Branches[n], marker) || spread
		if documents[i], err = emit(sops.TreeBranches{tree.Branches[n]}, formats.Yaml); err != nil {
			return false, err
		}
	}
	return spread, nil
}

// Object decrypts what is still encrypted in a built object, in place: the object itself, or the values of a Secret. The
// MAC of an object is not verified: the build may have changed it on purpose. That of a value is.
func (d *Decrypter) Object(object *unstructured.Unstructured) (decrypted bool, err error) {
	defer rescue(&err)
	d.current = object.GetKind() + "/" + object.GetName()
	if mac, _, _ := unstructured.NestedString(object.Object, "sops", "mac"); mac != "" {
		if err := d.whole(object); err != nil {
			return false, fmt.Errorf("%s: %w", d.current, err)
		}
		decrypted = true
	}
	if object.GetKind() != "Secret" || object.GetAPIVersion() != "v1" {
		return decrypted, nil
	}
	for _, field := range []string{"data", "stringData"} {
		changed, err := d.values(object, field)
		if err != nil {
			return false, fmt.Errorf("%s: %w", d.current, err)
		}
		decrypted = decrypted || changed
	}
	return decrypted, nil
}

func (d *Decrypter) whole(object *unstructured.Unstructured) error {
	content, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	tree, err := load(content, formats.Json)
	if err != nil {
		return err
	}
	if err := d.decryptTree(&tree, macSkip); err != nil {
		return err
	}
	clear, err := emit(tree.Branches, formats.Json)
	if err != nil {
		return err
	}
	return object.UnmarshalJSON(clear)
}

func (d *Decrypter) values(object *unstructured.Unstructured, field string) (changed bool, err error) {
	values, _, err := unstructured.NestedStringMap(object.Object, field)
	if err != nil || len(values) == 0 {
		return false, nil // the API server says what is wrong with it
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		content := []byte(values[key])
		if field == "data" {
			if content, err = base64.StdEncoding.DecodeString(values[key]); err != nil {
				continue
			}
		}
		format := formatOf(key)
		clear, decrypted, err := d.value(content, source{in: format, out: format})
		if err != nil {
			return false, fmt.Errorf("%s %q: %w", field, key, err)
		}
		if !decrypted {
			continue
		}
		changed = true
		values[key] = string(clear)
		if field == "data" {
			values[key] = base64.StdEncoding.EncodeToString(clear)
		}
	}
	if !changed {
		return false, nil
	}
	return true, unstructured.SetNestedStringMap(object.Object, values, field)
}

// rescue turns a panic of SOPS on hostile input into an error. What it panicked with may repeat a value.
func rescue(err *error) {
	if recover() != nil {
		*err = errDamaged
	}
}

var errDamaged = errors.New("it is damaged beyond what SOPS can read")
