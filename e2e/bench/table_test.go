package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	var tab table
	tab.add("TIME", "median", "runs")
	tab.add("a heading that is wider than every name below it")
	tab.add("first", "4.21 s", "1")
	tab.add("the second – with a dash", "62 ms")
	want := strings.Join([]string{
		"TIME                       median   runs",
		"a heading that is wider than every name below it",
		"first                      4.21 s      1",
		"the second – with a dash    62 ms",
		"",
	}, "\n")
	var got strings.Builder
	if _, err := tab.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("columns are counted in characters, headings do not widen them:\n%s", diff)
	}
}
