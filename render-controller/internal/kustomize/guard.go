package kustomize

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// The rules, for each kustomization file that a build loads, at whatever depth:
//   - an entry that names a place outside of the artifact is refused: remote ones (see isRemote), absolute paths, and
//     paths that lead above the artifact's root;
//   - Helm inflation is refused: it runs a program;
//   - generators, transformers and validators may be kustomize's builtin ones only: any other is a program or a container,
//     and the entries of a builtin one obey the first rule.
//
// What kustomize itself cannot parse is passed on: kustomize then fails with it, by the same parser.

// entry is one reference in a kustomization file, with where it stands.
type entry struct{ field, value string }

// isKustomization says whether kustomize takes a file of that name for a kustomization.
func isKustomization(name string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name))
}

// inspect checks the kustomization file at name. It returns what is in it, or nil when kustomize cannot parse it.
func inspect(name string, content []byte) (*kustypes.Kustomization, error) {
	var k kustypes.Kustomization
	if err := k.Unmarshal(content); err != nil {
		return nil, nil // kustomize reports it, see the rules
	}
	if err := refuseHelm(name, &k); err != nil {
		return nil, err
	}
	for _, e := range paths(&k) {
		if err := checkEntry(name, e); err != nil {
			return nil, err
		}
	}
	for _, e := range pathsOrInline(&k) {
		if err := checkPathOrInline(name, e); err != nil {
			return nil, err
		}
	}
	return &k, nil
}

func refuseHelm(name string, k *kustypes.Kustomization) error {
	field := ""
	switch {
	case len(k.HelmCharts) > 0:
		field = "helmCharts"
	case k.HelmGlobals != nil:
		field = "helmGlobals"
	case len(k.HelmChartInflationGenerator) > 0:
		field = "helmChartInflationGenerator"
	default:
		return nil
	}
	return failure(name, "%s: charts are not inflated inside a kustomization; use a HelmRelease for the chart", field)
}

// paths lists the entries that are always paths.
func paths(k *kustypes.Kustomization) []entry {
	var all []entry
	all = appendList(all, "resources", k.Resources)
	all = appendList(all, "bases", k.Bases)
	all = appendList(all, "components", k.Components)
	all = appendList(all, "crds", k.Crds)
	all = appendList(all, "configurations", k.Configurations)
	all = append(all, entry{"openapi.path", k.OpenAPI["path"]})
	for i, patch := range k.Patches {
		all = append(all, entry{fmt.Sprintf("patches[%d].path", i), patch.Path})
	}
	for i, patch := range k.PatchesJson6902 {
		all = append(all, entry{fmt.Sprintf("patchesJson6902[%d].path", i), patch.Path})
	}
	for i, replacement := range k.Replacements {
		all = append(all, entry{fmt.Sprintf("replacements[%d].path", i), replacement.Path})
	}
	for i := range k.ConfigMapGenerator {
		all = appendSources(all, fmt.Sprintf("configMapGenerator[%d]", i), &k.ConfigMapGenerator[i].KvPairSources)
	}
	for i := range k.SecretGenerator {
		all = appendSources(all, fmt.Sprintf("secretGenerator[%d]", i), &k.SecretGenerator[i].KvPairSources)
	}
	return all
}

func appendSources(all []entry, field string, sources *kustypes.KvPairSources) []entry {
	for i, source := range sources.FileSources {
		all = append(all, entry{fmt.Sprintf("%s.files[%d]", field, i), fileOf(source)})
	}
	all = appendList(all, field+".envs", sources.EnvSources)
	return append(all, entry{field + ".env", sources.EnvSource})
}

// fileOf returns the path in a generator's files entry, which may be key=path.
func fileOf(source string) string {
	if _, file, named := strings.Cut(source, "="); named {
		return file
	}
	return source
}

func appendList(all []entry, field string, values []string) []entry {
	for i, value := range values {
		all = append(all, entry{fmt.Sprintf("%s[%d]", field, i), value})
	}
	return all
}

// pathsOrInline lists the entries that may be a path or a document in the kustomization itself.
func pathsOrInline(k *kustypes.Kustomization) []entry {
	var all []entry
	all = appendList(all, "generators", k.Generators)
	all = appendList(all, "transformers", k.Transformers)
	all = appendList(all, "validators", k.Validators)
	for i, patch := range k.PatchesStrategicMerge {
		all = append(all, entry{fmt.Sprintf("patchesStrategicMerge[%d]", i), string(patch)})
	}
	return all
}

func checkPathOrInline(name string, e entry) error {
	var document map[string]any
	if yaml.Unmarshal([]byte(e.value), &document) != nil || document == nil {
		return checkEntry(name, e)
	}
	if strings.HasPrefix(e.field, "patchesStrategicMerge") {
		return nil
	}
	return checkPlugin(name, e.field, document)
}

func checkEntry(name string, e entry) error {
	switch {
	case e.value == "":
		return nil
	case isRemote(e.value):
		return failure(name, "%s %.120q is remote: nothing is fetched during a build; "+
			"make it a source of its own, or put a copy into this repository", e.field, e.value)
	case path.IsAbs(e.value):
		return failure(name, "%s %.120q is an absolute path; paths are relative to the file they stand in", e.field, e.value)
	}
	target := path.Join(path.Dir(name), e.value)
	if target == ".." || strings.HasPrefix(target, "../") {
		return failure(name, "%s %.120q leads outside of the source artifact", e.field, e.value)
	}
	return nil
}

// builtin is the apiVersion of kustomize's own plugins.
const builtin = "builtin"

// inspectDocument checks a file that is not a kustomization: when it configures a plugin, the plugin has to be builtin.
func inspectDocument(name string, content []byte) error {
	if !bytes.Contains(content, []byte(builtin)) {
		return nil
	}
	for _, part := range bytes.Split(content, []byte("\n---")) {
		var document map[string]any
		if yaml.Unmarshal(part, &document) != nil {
			continue
		}
		if version, _ := document["apiVersion"].(string); version == builtin {
			if err := checkPlugin(name, "plugin", document); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkPlugin(name, field string, document map[string]any) error {
	kind, _ := document["kind"].(string)
	if version, _ := document["apiVersion"].(string); version != builtin {
		return failure(name, "%s %.80q: only kustomize's builtin generators, transformers and validators are run", field, kind)
	}
	if strings.HasPrefix(kind, "HelmChartInflation") {
		return failure(name, "%s %.80q: charts are not inflated inside a kustomization; use a HelmRelease", field, kind)
	}
	for _, key := range []string{"path", "paths", "files", "envs", "env", "url"} {
		for i, value := range texts(document[key]) {
			if err := checkEntry(name, entry{fmt.Sprintf("%s %s.%s[%d]", field, kind, key, i), fileOf(value)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// texts returns the strings in a string or in a list.
func texts(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, texts(item)...)
		}
		return all
	}
	return nil
}
