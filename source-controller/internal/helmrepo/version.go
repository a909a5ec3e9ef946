package helmrepo

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"
)

// Version is what an index says about one version of a chart.
type Version struct {
	Name    string   `json:"name"    yaml:"name"`
	Version string   `json:"version" yaml:"version"`
	URLs    []string `json:"urls"    yaml:"urls"`
	// Digest is the SHA-256 of the packaged chart in hexadecimal digits, as far as it is there.
	Digest string `json:"digest" yaml:"digest"`
	// Created is when the chart was packaged, in RFC 3339.
	Created string `json:"created" yaml:"created"`
	Type    string `json:"type"    yaml:"type"`
}

// created is the zero time unless it is known.
func (v *Version) created() time.Time {
	t, err := time.Parse(time.RFC3339Nano, v.Created)
	if err != nil {
		return time.Time{}
	}
	return t
}

// check says what is wrong with a version, by the rules by which Helm leaves one out.
func (v *Version) check() error {
	switch {
	case v.Name == "":
		return errors.New("it has no name")
	case path.Base(v.Name) != v.Name:
		return errors.New("its name is a path")
	case v.Version == "":
		return errors.New("it has no version")
	case v.Type != "" && v.Type != "application" && v.Type != "library":
		return errors.New("its type is neither application nor library")
	}
	if _, err := semver.NewVersion(v.Version); err != nil {
		return errors.New("its version is not a semantic version")
	}
	return nil
}

// each decodes what an item says.
func (it item) each(yield func(*Version, error)) {
	switch {
	case it.wrong != nil:
		yield(nil, it.wrong)
	case it.tooLong:
		yield(nil, fmt.Errorf("it has more than %d bytes", maxEntry))
	case it.style == jsonStyle:
		var v *Version
		err := json.Unmarshal(it.raw, &v)
		one(v, err, yield)
	case it.style == inlineStyle:
		var chart map[string]yaml.Node
		if decodeYAML(it.raw, &chart) != nil || len(chart) != 1 {
			yield(nil, errNotYAML)
			return
		}
		for _, list := range chart {
			versions(&list, yield)
		}
	default:
		var list yaml.Node
		if decodeYAML(it.raw, &list) != nil {
			yield(nil, errNotYAML)
			return
		}
		versions(&list, yield)
	}
}

var (
	errNotYAML = errors.New("it is not valid YAML, or refers to something outside")
	errNoList  = errors.New("it is not a list of versions")
)

// versions decodes a list.
func versions(list *yaml.Node, yield func(*Version, error)) {
	if list.Kind == yaml.DocumentNode && len(list.Content) == 1 {
		list = list.Content[0]
	}
	if list.Kind == 0 || list.Tag == "!!null" {
		return
	}
	if list.Kind != yaml.SequenceNode {
		yield(nil, errNoList)
		return
	}
	for _, node := range list.Content {
		var v *Version
		err := decodeNode(node, &v)
		one(v, err, yield)
	}
}

func decodeNode(node *yaml.Node, into any) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it makes the YAML parser fail")
		}
	}()
	return node.Decode(into)
}

// one is a version that was decoded; null is passed over, as Helm does it.
func one(v *Version, err error, yield func(*Version, error)) {
	switch {
	case err != nil:
		yield(nil, errors.New("a field of it is of the wrong kind"))
	case v == nil:
	default:
		if err := v.check(); err != nil {
			yield(nil, err)
			return
		}
		yield(v, nil)
	}
}
