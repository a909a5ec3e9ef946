package kustomize

import (
	"go.yaml.in/yaml/v3"

	"github.com/sluice-gitops/sluice/render-controller/internal/schema"
)

// keepTypes mends scalars that kustomize has given another value than their type allows: a replacement changes the text of a field and
// leaves its tag, and a field that it creates has none. By its schema such a field is a text where it holds texts ("true", "0080"), and
// what YAML reads where nothing is known. Scalars that an author has written are left alone, right or wrong.
func keepTypes(node *yaml.Node, at schema.Field) {
	switch node.Kind {
	case yaml.DocumentNode:
		for _, inside := range node.Content {
			keepTypes(inside, at)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			keepTypes(node.Content[i+1], at.Child(node.Content[i].Value))
		}
	case yaml.SequenceNode:
		for _, item := range node.Content {
			keepTypes(item, at.Item())
		}
	case yaml.ScalarNode:
		keepType(node, at.Type())
	}
}

const textTag = "!!str"

func keepType(node *yaml.Node, as schema.Type) {
	if node.Style&yaml.TaggedStyle != 0 || node.ShortTag() == textTag {
		return
	}
	plain := yaml.Node{Kind: yaml.ScalarNode, Value: node.Value}
	read := plain.ShortTag()
	if node.Tag != "" && node.Tag == read {
		return // as it was written
	}
	node.Tag, node.Style = read, 0
	if as == schema.String && node.Value != "" {
		node.SetString(node.Value)
	}
}
