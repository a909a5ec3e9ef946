package kustomize

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// maxNodes is how many values a YAML document may have once its aliases are replaced by what they stand for.
const maxNodes = 2_000_000

// checkAliases refuses a file whose aliases grow to more than that: kustomize would replace them all, in memory. What is
// not YAML is passed on.
func checkAliases(name string, content []byte) error {
	if bytes.IndexByte(content, '&') < 0 || bytes.IndexByte(content, '*') < 0 {
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return nil // whoever reads the file says what is wrong with it
		}
		if (&expansion{sizes: map[*yaml.Node]int{}}).size(&document) > maxNodes {
			return failure(name, "line %d: its aliases stand for more than %d values; write the values out, or fewer of them", document.Line, maxNodes)
		}
	}
}

// expansion counts the values in a document as if each alias were replaced.
type expansion struct {
	// sizes of the values that anchors are on; that of one being counted is past the limit, so that no value contains
	// itself.
	sizes map[*yaml.Node]int
}

func (e *expansion) size(node *yaml.Node) int {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if known, ok := e.sizes[node]; ok {
		return known
	}
	if node.Anchor != "" {
		e.sizes[node] = maxNodes + 1
	}
	size := 1
	for _, child := range node.Content {
		if size = size + e.size(child); size > maxNodes {
			size = maxNodes + 1
			break
		}
	}
	if node.Anchor != "" {
		e.sizes[node] = size
	}
	return size
}
