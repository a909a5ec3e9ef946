package sops

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"
)

// maxDocuments bounds how many documents one YAML file may have.
const maxDocuments = 10_000

var errDocuments = errors.New("it has too many documents")

// split cuts a YAML stream at its document markers. What it returns, joined with marker lines, is the stream again.
func split(content []byte) ([][]byte, error) {
	var documents [][]byte
	var current []byte
	for line := range bytes.Lines(content) {
		if isMarker(line) {
			documents = append(documents, current)
			current = nil
			if len(documents) > maxDocuments {
				return nil, errDocuments
			}
			continue
		}
		current = append(current, line...)
	}
	return append(documents, current), nil
}

// isMarker says whether a line starts a document and holds nothing else.
func isMarker(line []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimRight(line, " \t\r\n"), []byte("---"))
	return ok && (len(rest) == 0 || bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte("#")) && rest[0] != '#')
}

func join(documents [][]byte) []byte {
	var all bytes.Buffer
	for i, document := range documents {
		if i > 0 {
			if all.Len() > 0 && !bytes.HasSuffix(all.Bytes(), []byte("\n")) {
				all.WriteByte('\n')
			}
			all.WriteString("---\n")
		}
		all.Write(document)
	}
	return all.Bytes()
}

// unit is the documents of a file that were encrypted together: they carry the same sops block.
type unit struct {
	block   []byte
	members []int
}

// units groups the encrypted documents.
func units(documents [][]byte) ([]unit, error) {
	var all []unit
	for i, document := range documents {
		block, err := blockOf(document)
		if err != nil {
			return nil, err
		}
		if block == nil {
			continue
		}
		known := slices.IndexFunc(all, func(u unit) bool { return bytes.Equal(u.block, block) })
		if known < 0 {
			all = append(all, unit{block: block})
			known = len(all) - 1
		}
		all[known].members = append(all[known].members, i)
	}
	return all, nil
}

// blockOf returns the sops block of a document, written in one way; nil when it has none, or when the object asks to be
// left as it is.
func blockOf(document []byte) ([]byte, error) {
	if !hasBlock(document) {
		return nil, nil
	}
	var head struct {
		Sops     yaml.Node `yaml:"sops"`
		Metadata struct {
			Annotations map[string]string `yaml:"annotations"`
			Labels      map[string]string `yaml:"labels"`
		} `yaml:"metadata"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return nil, nil // not ours to judge: whoever reads the file does
	}
	if head.Sops.Kind != yaml.MappingNode {
		return nil, nil
	}
	if strings.EqualFold(head.Metadata.Annotations[decryptKey], disabled) || strings.EqualFold(head.Metadata.Labels[decryptKey], disabled) {
		return nil, nil
	}
	return yaml.Marshal(&head.Sops)
}

// mark adds an annotation to a document that is a Kubernetes object. It says whether the annotation will stay with what
// the document holds: a list loses it when it is taken apart, and what is no object has no place for it.
func mark(branch sops.TreeBranch, annotation string) bool {
	if !has(branch, "kind") || has(branch, "items") {
		return false
	}
	for i := range branch {
		if branch[i].Key != "metadata" {
			continue
		}
		metadata, ok := branch[i].Value.(sops.TreeBranch)
		if !ok {
			return false
		}
		branch[i].Value = annotate(metadata, annotation)
		return true
	}
	return false
}

func annotate(metadata sops.TreeBranch, annotation string) sops.TreeBranch {
	item := sops.TreeItem{Key: annotation, Value: "true"}
	for i := range metadata {
		if metadata[i].Key != "annotations" {
			continue
		}
		if annotations, ok := metadata[i].Value.(sops.TreeBranch); ok {
			metadata[i].Value = append(annotations, item)
			return metadata
		}
		metadata[i].Value = sops.TreeBranch{item}
		return metadata
	}
	return append(metadata, sops.TreeItem{Key: "annotations", Value: sops.TreeBranch{item}})
}

func has(branch sops.TreeBranch, key string) bool {
	return slices.ContainsFunc(branch, func(item sops.TreeItem) bool { return item.Key == key })
}
