package helmrepo

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// document is an index as a whole.
type document struct {
	APIVersion string               `yaml:"apiVersion"`
	Entries    map[string]yaml.Node `yaml:"entries"`
}

// walkWhole goes through an index that cannot be read in parts, as why says. It has to be a small one.
func walkWhole(file io.ReadSeeker, v visitor, why error) error {
	d, err := readWhole(file)
	if errors.Is(err, errNotSmall) {
		return fmt.Errorf("%w: it has more than %d bytes in a style of YAML that cannot be read in parts (%w); "+
			"write it as `helm repo index` does", ErrIndex, maxWhole, why)
	}
	if err != nil {
		return err
	}
	if d.APIVersion == "" {
		return fmt.Errorf("%w: it has no apiVersion", ErrIndex)
	}
	for _, chart := range slices.Sorted(maps.Keys(d.Entries)) {
		node := d.Entries[chart]
		if err := v.begin(chart, node.Line); err != nil {
			return err
		}
		raw, err := yaml.Marshal(&node)
		if err != nil {
			return fmt.Errorf("%w: chart %q is not YAML", ErrIndex, shortened(chart))
		}
		if err := v.item(item{raw: raw, style: valueStyle, line: node.Line}); err != nil {
			return err
		}
		if err := v.end(place{style: wholeStyle}); err != nil {
			return err
		}
	}
	return nil
}

var errNotSmall = errors.New("too large to be read as a whole")

func readWhole(file io.ReadSeeker) (document, error) {
	var d document
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return d, fmt.Errorf("read index: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxWhole+1))
	if err != nil {
		return d, fmt.Errorf("read index: %w", err)
	}
	if len(data) > maxWhole {
		return d, errNotSmall
	}
	if err := decodeYAML(data, &d); err != nil {
		return d, fmt.Errorf("%w: it is not YAML with charts in it; see whether spec.url is that of a Helm repository, "+
			"and what it serves as index.yaml", ErrIndex)
	}
	return d, nil
}

// decodeYAML decodes what others wrote, who may mean harm.
func decodeYAML(data []byte, into any) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it makes the YAML parser fail")
		}
	}()
	return yaml.Unmarshal(data, into)
}
