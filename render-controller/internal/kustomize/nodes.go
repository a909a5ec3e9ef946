package kustomize

import (
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// spellOut makes what kustomize writes as JSON what kubectl reads. A date or time that nobody put in quotes is a string: JSON
// knows none, and 2024-01-01 would become 2024-01-01T00:00:00Z. Nothing, as in {env: , ports: }, is null: it would become "".
func spellOut(node *yaml.Node) {
	if node == nil {
		return
	}
	if node.Kind == yaml.ScalarNode {
		switch {
		case node.ShortTag() == "!!timestamp":
			node.Tag, node.Style = yaml.NodeTagString, yaml.DoubleQuotedStyle
		case node.ShortTag() == yaml.NodeTagNull && node.Value == "":
			node.Value = "null"
		}
	}
	for _, child := range node.Content {
		spellOut(child)
	}
}

// repeatedKey is the path of a key that a mapping has twice, such as data.colour; empty if there is none.
func repeatedKey(node *yaml.Node) string {
	if node == nil {
		return ""
	}
	if node.Kind != yaml.MappingNode {
		for _, child := range node.Content {
			if key := repeatedKey(child); key != "" {
				return key
			}
		}
		return ""
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i].Value
		if seen[key] {
			return key
		}
		seen[key] = true
		if below := repeatedKey(node.Content[i+1]); below != "" {
			return key + "." + below
		}
	}
	return ""
}
