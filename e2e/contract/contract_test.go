// Package contract holds README.md, a table of every field of Flux's sources, to the CRDs and to the tests that exist.
package contract

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	root = "../.."
	// everywhere is the section of fields that mean the same in each kind that has them.
	everywhere = "Every kind"
)

var kinds = []string{"GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Bucket", "ExternalArtifact"}

// TestEveryFieldHasARow: a field that Flux adds, or a row that is left over, fails; so does a row that shows nothing.
func TestEveryFieldHasARow(t *testing.T) {
	rows := table(t)
	fields := map[string]map[string]bool{}
	for _, kind := range kinds {
		fields[kind] = fieldsOf(t, kind)
		for field := range fields[kind] {
			_, own := rows[kind][field]
			_, shared := rows[everywhere][field]
			switch {
			case !own && !shared:
				t.Errorf("%s has %s, and no row says what is done with it", kind, field)
			case own && shared:
				t.Errorf("%s has two rows, in %q and in %q", field, kind, everywhere)
			}
		}
		for field := range rows[kind] {
			if !fields[kind][field] {
				t.Errorf("%s has no %s, but there is a row", kind, field)
			}
		}
	}
	for field := range rows[everywhere] {
		having := slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return !fields[kind][field] })
		if len(having) < 2 {
			t.Errorf("%s is in %q, but only %v have it", field, everywhere, having)
		}
	}
	for section := range rows {
		if section != everywhere && !slices.Contains(kinds, section) {
			t.Errorf("%q is no kind of source", section)
		}
	}
}

// TestEveryRowIsShown: what a row names is a test or a story that exists, and that mentions the field.
func TestEveryRowIsShown(t *testing.T) {
	found := tests(t)
	for section, rows := range table(t) {
		for field, r := range rows {
			if err := r.check(found); err != nil {
				t.Errorf("%s, %s: %v", section, field, err)
			}
		}
	}
}

// TestRowsAreChecked: the checks above find what they are there to find.
func TestRowsAreChecked(t *testing.T) {
	found := map[string]string{"TestPull": "resolves spec.ref.TAG", "oci.txtar": "tag: 1.0.0"}
	for name, tc := range map[string]struct {
		row  row
		says string
	}{
		"shown by a test":   {row{"spec.ref.tag", "what is taken", []string{"TestPull"}}, ""},
		"shown by a story":  {row{"spec.ref.tag", "what is taken", []string{"oci.txtar"}}, ""},
		"of a reference":    {row{"spec.ref.tag.name", "what is taken", []string{"oci.txtar"}}, ""},
		"says nothing":      {row{"spec.ref.tag", "", []string{"TestPull"}}, "does not say"},
		"shown by nothing":  {row{"spec.ref.tag", "what is taken", nil}, "no test"},
		"no such test":      {row{"spec.ref.tag", "what is taken", []string{"TestPush"}}, "does not exist"},
		"not in the test":   {row{"spec.ref.semver", "what is taken", []string{"TestPull"}}, "mention"},
		"one of two exists": {row{"spec.ref.tag", "what is taken", []string{"TestPull", "TestPush"}}, "does not exist"},
	} {
		err := tc.row.check(found)
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: got %v, want %q", name, err, tc.says)
		}
	}
}

// row is what the table says of a field.
type row struct {
	field, what string
	shown       []string
}

func (r row) check(tests map[string]string) error {
	if r.what == "" {
		return fmt.Errorf("the row does not say what is done with it")
	}
	if len(r.shown) == 0 {
		return fmt.Errorf("no test or story shows it yet")
	}
	mentioned := false
	for _, name := range r.shown {
		text, ok := tests[name]
		if !ok {
			return fmt.Errorf("%s does not exist", name)
		}
		mentioned = mentioned || strings.Contains(strings.ToLower(text), strings.ToLower(r.word()))
	}
	if !mentioned {
		return fmt.Errorf("no file of %s mentions %s", strings.Join(r.shown, ", "), r.word())
	}
	return nil
}

// word is what a test of the field has in it: its last name, or that of the reference whose name it is.
func (r row) word() string {
	names := strings.Split(r.field, ".")
	if last := len(names) - 1; names[last] == "name" && last > 1 {
		names = names[:last]
	}
	return strings.TrimSuffix(names[len(names)-1], "[]")
}

var (
	heading = regexp.MustCompile(`^## (.+)$`)
	line    = regexp.MustCompile("^\\| `((?:spec|status)[^`]*)` \\| (.*?) \\| ?(.*?) ?\\|$")
	shown   = regexp.MustCompile("`([^`]+)`")
)

// table reads README.md: rows by section and field.
func table(t *testing.T) map[string]map[string]row {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sections, section := map[string]map[string]row{}, ""
	for number, text := range strings.Split(string(text), "\n") {
		if m := heading.FindStringSubmatch(text); m != nil {
			section = m[1]
			continue
		}
		m := line.FindStringSubmatch(text)
		if m == nil {
			if strings.HasPrefix(text, "| `s") {
				t.Errorf("README.md:%d: not a row of three columns", number+1)
			}
			continue
		}
		r := row{field: m[1], what: strings.TrimSpace(m[2])}
		for _, name := range shown.FindAllStringSubmatch(m[3], -1) {
			r.shown = append(r.shown, name[1])
		}
		if sections[section] == nil {
			sections[section] = map[string]row{}
		}
		if _, twice := sections[section][r.field]; twice {
			t.Errorf("README.md:%d: %s has a row already", number+1, r.field)
		}
		sections[section][r.field] = r
	}
	return sections
}

// schema is the part of a CRD's schema that says which fields there are.
type schema struct {
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
}

// fieldsOf are the fields of a kind's spec and status that have no fields themselves; those of a list's items are behind "[]".
func fieldsOf(t *testing.T, kind string) map[string]bool {
	t.Helper()
	plural := strings.ToLower(strings.TrimSuffix(kind, "y")) + "s"
	if strings.HasSuffix(kind, "y") {
		plural = strings.ToLower(strings.TrimSuffix(kind, "y")) + "ies"
	}
	text, err := os.ReadFile(filepath.Join(root, "charts/sluice/crds", "source.toolkit.fluxcd.io_"+plural+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPI schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	fields := map[string]bool{}
	for _, version := range crd.Spec.Versions {
		for _, part := range []string{"spec", "status"} {
			collect(fields, part, version.Schema.OpenAPI.Properties[part])
		}
	}
	if len(fields) < 5 {
		t.Fatalf("%s has the fields %v, which cannot be all", kind, slices.Sorted(maps.Keys(fields)))
	}
	return fields
}

func collect(into map[string]bool, path string, s schema) {
	switch {
	case len(s.Properties) > 0:
		for name, field := range s.Properties {
			collect(into, path+"."+name, field)
		}
	case s.Items != nil && len(s.Items.Properties) > 0:
		collect(into, path+"[]", *s.Items)
	default:
		into[path] = true
	}
}

// tests are all tests and stories by name, with the text that is theirs: a story's, or that of all tests of the package.
func tests(t *testing.T) map[string]string {
	t.Helper()
	found, packages := map[string]string{}, map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go") && filepath.Ext(path) != ".txtar":
			return nil
		}
		text, err := os.ReadFile(path)
		if filepath.Ext(path) == ".txtar" {
			found[filepath.Base(path)] = string(text)
			return err
		}
		packages[filepath.Dir(path)] += string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, text := range packages {
		for _, name := range testsIn(t, dir) {
			found[name] += text
		}
	}
	return found
}

// testsIn are the names of the tests in a folder.
func testsIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}
