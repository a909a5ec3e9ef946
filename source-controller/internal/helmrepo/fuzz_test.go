package helmrepo_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/repo"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
)

// FuzzRead holds that no index brings the process down, and that both ways to read one agree.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		written, "apiVersion: v1\nentries: {}\n", `{"apiVersion":"v1","entries":{"a":[{"name":"a","version":"1.0.0","urls":["a"]}],"b":null,"c":3}}`,
		"a:\n  - *b\n", "apiVersion: v1\nentries:\n a:\n - {", "{a: b, apiVersion: v1, entries: {a: [{version: 1.0.0, name: a}]}}",
		"apiVersion: v1\nentries:\n  a: |\n    - name: a\n  b:\n  b:\n    - name: b\n      version: 1.0.0\n", "? a\n: b\n", "---\n...\n", "\t{",
	} {
		f.Add(seed, "a", "")
	}
	f.Fuzz(func(t *testing.T, index, name, asked string) {
		checked, err := helmrepo.Read(strings.NewReader(index))
		if err != nil {
			if len(err.Error()) > 600 {
				t.Errorf("a long message: %v", err)
			}
			return
		}
		outlined, err := helmrepo.Outline(strings.NewReader(index))
		if err != nil || outlined.Charts() != checked.Charts() {
			t.Fatalf("%d charts at first, then %v", checked.Charts(), err)
		}
		first, errFirst := checked.Find(strings.NewReader(index), name, asked)
		second, errSecond := outlined.Find(strings.NewReader(index), name, asked)
		if (errFirst == nil) != (errSecond == nil) || errFirst == nil && first.Version != second.Version {
			t.Errorf("found %+v, %v and then %+v, %v", first, errFirst, second, errSecond)
		}
	})
}

// FuzzWritten holds that whatever Helm writes into an index, texts of any kind included, is found in it again.
func FuzzWritten(f *testing.F) {
	f.Add("web", "1.0.0", "a text\n\n  entries:\n  - x\n", "k: v", "api", "2.0.0")
	f.Add("a-b.c", "1.0.0-rc.1+x", "\t\n---\n...\n", "- '\"", "web", "0.1.0")
	f.Fuzz(func(t *testing.T, one, version, text, key, other, otherVersion string) {
		index := repo.NewIndexFile()
		for name, v := range map[string]string{one: version, other: otherVersion} {
			c := &chart.Metadata{
				APIVersion: "v2", Name: name, Version: v, Description: text, Keywords: []string{text, key},
				Annotations: map[string]string{key: text}, Maintainers: []*chart.Maintainer{{Name: text}},
			}
			if index.MustAdd(c, "x.tgz", "https://charts.example.com", "digest") != nil {
				return // Helm takes no such chart
			}
		}
		index.Generated = time.Unix(0, 0).UTC()
		data, err := yaml.Marshal(index)
		if err != nil {
			return
		}
		x, err := helmrepo.Read(strings.NewReader(string(data)))
		if errors.Is(err, helmrepo.ErrIndex) && strings.Contains(err.Error(), "not YAML") {
			return // not even as a whole
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		for name := range index.Entries {
			if len(name) == 0 || len(name) > 250 {
				continue
			}
			want := index.Entries[name][0]
			v, err := x.Find(strings.NewReader(string(data)), name, want.Version)
			if err != nil || v.Version != want.Version {
				t.Errorf("%q: got %+v, %v, %s, from\n%s", name, v, err, x.Notice(), data)
			}
		}
	})
}
