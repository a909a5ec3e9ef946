package helm

import (
	"fmt"
	"path"
	"strings"
	"unicode"

	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
)

// separator begins a document, wherever it begins a line. What follows it in its line belongs to the document: charts exist that
// lose the line end to a template, and Helm lets them.
const separator = "---"

// documents splits a file into its YAML documents, in order, each as the template engine gave it: what ends in a block scalar ends
// with that scalar's last line end. Helm 3's own function takes white space off both ends; off the start it is taken here too, as by
// Helm 4, since charts indent the call that makes a whole document. As in what Helm applies, a document that does not end with a
// line end gets one. Documents of nothing but white space are left out.
func documents(file string) []string {
	var all []string
	var current strings.Builder
	flush := func() {
		if text := strings.TrimLeftFunc(current.String(), unicode.IsSpace); text != "" {
			all = append(all, strings.TrimSuffix(text, "\n")+"\n")
		}
		current.Reset()
	}
	for line := range strings.Lines(file) {
		rest, starts := strings.CutPrefix(line, separator)
		if !starts {
			current.WriteString(line)
			continue
		}
		flush()
		current.WriteString(strings.TrimLeft(rest, " \t\r\n"))
	}
	flush()
	return all
}

// sortDocuments parts rendered files into hooks and manifests, in Helm's install order, with the text of each as it is.
func sortDocuments(files map[string]string) ([]*release.Hook, []releaseutil.Manifest, error) {
	type origin struct{ file, text string }
	origins, split := map[string]origin{}, map[string]string{}
	for name, text := range files {
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		for i, document := range documents(text) {
			at := name
			if i > 0 {
				at = fmt.Sprintf("%s (document %04d)", name, i+1) // sorts by file, and then as they follow one another
			}
			origins[at], split[at] = origin{name, document}, document
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(split, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, nil, err
	}
	for _, hook := range hooks {
		from := origins[hook.Path]
		hook.Path, hook.Manifest = from.file, from.text
	}
	for i := range manifests {
		from := origins[manifests[i].Name]
		manifests[i].Name, manifests[i].Content = from.file, from.text
	}
	return hooks, manifests, nil
}
