package kustomize

import (
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// keepDates makes strings of the dates and times that nobody put in quotes, as kubectl reads them: JSON knows none, and
// writing them as JSON would spell 2024-01-01 as 2024-01-01T00:00:00Z.
func keepDates(node *yaml.Node) {
	if node == nil {
		return
	}
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!timestamp" {
		node.Tag, node.Style = yaml.NodeTagString, yaml.DoubleQuotedStyle
	}
	for _, child := range node.Content {
		keepDates(child)
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
