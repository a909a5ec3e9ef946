package contract

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// hazard is a row of reliability.md, and carries the start of a test's name: what it says it shows, as S03 and F1.
	hazard  = regexp.MustCompile(`^\| ([SF]\d+) \|.*\| ([^|]*) \|$`)
	carries = regexp.MustCompile(`^Test((?:[SF]\d+)+)[A-Z]`)
	one     = regexp.MustCompile(`[SF]\d+`)
)

// TestHazardsHaveTests holds reliability.md and the names of tests to each other.
func TestHazardsHaveTests(t *testing.T) {
	text, err := os.ReadFile("reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	found, rows := tests(t), map[string][]string{}
	for text := range strings.Lines(string(text)) {
		m := hazard.FindStringSubmatch(strings.TrimSpace(text))
		if m == nil {
			continue
		}
		for _, name := range shown.FindAllStringSubmatch(m[2], -1) {
			rows[m[1]] = append(rows[m[1]], name[1])
			if _, exists := found[name[1]]; !exists {
				t.Errorf("%s: %s does not exist", m[1], name[1])
			}
			if !slices.Contains(hazardsOf(name[1]), m[1]) {
				t.Errorf("%s: %s does not carry its name", m[1], name[1])
			}
		}
		if len(rows[m[1]]) == 0 {
			t.Errorf("%s has no test", m[1])
		}
	}
	if len(rows) < 20 {
		t.Fatalf("only %d rows were read", len(rows))
	}
	for name := range found {
		for _, id := range hazardsOf(name) {
			if row, known := rows[id]; known && !slices.Contains(row, name) {
				t.Errorf("%s is not in the row of %s", name, id)
			}
		}
	}
}

func hazardsOf(name string) []string {
	m := carries.FindStringSubmatch(name)
	if m == nil {
		return nil
	}
	return one.FindAllString(m[1], -1)
}
