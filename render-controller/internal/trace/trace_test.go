package trace

import (
	"strconv"
	"testing"
)

func TestStands(t *testing.T) {
	asked := []Entry{
		{CallStat, "app", Directory}, {CallList, "app", Listing([]string{"a.yaml", "b.yaml"})},
		{CallRead, "app/a.yaml", Content([]byte("a: 1"))}, {CallRead, "app/kustomization.yml", Absent},
	}
	same := map[[2]string]string{}
	for _, entry := range asked {
		same[[2]string{entry.Call, entry.Path}] = entry.Answer
	}
	cases := map[string]struct {
		reason  string
		entries []Entry
		change  [2]string
		answer  string
		want    bool
	}{
		"the same":      {"nothing that was asked has changed", asked, [2]string{CallRead, "other/a.yaml"}, Content(nil), true},
		"a file":        {"it has other content", asked, [2]string{CallRead, "app/a.yaml"}, Content([]byte("a: 2")), false},
		"a new file":    {"the directory lists it", asked, [2]string{CallList, "app"}, Listing([]string{"a.yaml", "b.yaml", "c.yaml"}), false},
		"no longer":     {"the directory is gone", asked, [2]string{CallStat, "app"}, Absent, false},
		"there now":     {"a file that was looked for in vain", asked, [2]string{CallRead, "app/kustomization.yml"}, Content(nil), false},
		"nothing known": {"without questions nothing is decided", nil, [2]string{}, "", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			answer := func(call, path string) string {
				if c.change == [2]string{call, path} {
					return c.answer
				}
				return same[[2]string{call, path}]
			}
			if got := Stands(c.entries, answer); got != c.want {
				t.Errorf("%s: %v, want %v", c.reason, got, c.want)
			}
		})
	}
}

func TestRecorder(t *testing.T) {
	var r Recorder
	r.Record(CallRead, "a", Absent)
	r.Record(CallRead, "a", Absent)
	r.Record(CallStat, "a", Absent)
	if got := r.Entries(); len(got) != 2 || got[0].Call != CallRead || got[1].Call != CallStat {
		t.Errorf("entries %v, want each question once, in order", got)
	}
	r.Invalidate()
	if got := r.Entries(); got != nil {
		t.Errorf("%d entries of a build that was told what no entry holds", len(got))
	}
	var many Recorder
	for i := range maxEntries + 1 {
		many.Record(CallRead, strconv.Itoa(i), Absent)
	}
	if many.Entries() != nil {
		t.Error("a trace over the limit is of no use, and was returned")
	}
}
