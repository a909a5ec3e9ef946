package bench

import (
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stat is a line as Linux 6 writes it, with the numbers that are read in between.
func stat(head, times string) string {
	return head + " 7 7 0 -1 4194304 900 0 0 0 " + times + " 20 0 9 0 4711 1300000000 2048" +
		" 18446744073709551615 1 1 0 0 0 0 0 0 2143420159 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
}

func TestParseStat(t *testing.T) {
	tests := map[string]struct {
		reason, text string
		want         process
		fails        bool
	}{
		"Controller": {
			reason: "the four times add up: its own and its children's, in user and kernel mode",
			text:   stat("42 (sync-controller) S 7", "100 20 3 4"),
			want:   process{pid: 42, parent: 7, cpu: 1270 * time.Millisecond},
		},
		"OddName": {
			reason: "a program's name may hold spaces and brackets",
			text:   stat("42 (a ) R 1 (b) S 7", "1 0 0 0"),
			want:   process{pid: 42, parent: 7, cpu: 10 * time.Millisecond},
		},
		"Short":   {reason: "half a line is no process", text: "42 (x) S 7 1 2", fails: true},
		"NoName":  {reason: "another file is no process", text: "cpu 1 2 3", fails: true},
		"Letters": {reason: "a number is a number", text: stat("42 (x) S 7", "1 0 x 0"), fails: true},
		"Empty":   {reason: "a file that was cut off", text: "", fails: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(tc.text))
			if (err != nil) != tc.fails {
				t.Fatalf("%s: error %v", tc.reason, err)
			}
			if !tc.fails && got != tc.want {
				t.Errorf("%s: got %+v, want %+v", tc.reason, got, tc.want)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(stat("42 (sync-controller) S 7", "100 20 3 4")))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parseStat(text)
		if again, failed := parseStat(text); again != p || (failed == nil) != (err == nil) {
			t.Errorf("%q reads as %+v (%v), then as %+v (%v)", text, p, err, again, failed)
		}
	})
}

func FuzzParseStatm(f *testing.F) {
	f.Add([]byte("317382 21044 14541 9123 0 30114 0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if resident, shared, err := parseStatm(text); err != nil && (resident != 0 || shared != 0) {
			t.Errorf("%q reads as %d and %d although %v", text, resident, shared, err)
		}
	})
}

func TestUsageOf(t *testing.T) {
	proc := fstest.MapFS{
		"10/stat":     {Data: []byte(stat("10 (render-controlle) S 1", "50 0 25 0"))},
		"10/statm":    {Data: []byte("9000 100 60 1 0 1 0\n")},
		"11/stat":     {Data: []byte(stat("11 (render-controlle) S 10", "10 0 0 0"))},
		"11/statm":    {Data: []byte("9000 80 50 1 0 1 0\n")},
		"12/stat":     {Data: []byte(stat("12 (git) S 11", "5 0 0 0"))},
		"12/statm":    {Data: []byte("\n")},
		"20/stat":     {Data: []byte(stat("20 (sync-controller) S 1", "99 0 0 0"))},
		"20/statm":    {Data: []byte("9000 500 100 1 0 1 0\n")},
		"30/cmdline":  {Data: []byte("a process that ends while it is read")},
		"meminfo":     {Data: []byte("not a process")},
		"self/status": {Data: []byte("not a process either")},
	}
	table, err := processTable(proc)
	if err != nil {
		t.Fatal(err)
	}
	want := usage{cpu: 900 * time.Millisecond, resident: (40 + 30 + 60) * 4096}
	if diff := cmp.Diff(want, usageOf(proc, table, 10, 4096), cmp.AllowUnexported(usage{})); diff != "" {
		t.Errorf("workers and what they start count, others do not, and what is shared counts once:\n%s", diff)
	}
	if got := usageOf(proc, table, 99, 4096); got != (usage{}) {
		t.Errorf("a process that is gone uses %+v", got)
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		return // the report leaves these figures out there
	}
	proc := os.DirFS("/proc")
	table, err := processTable(proc)
	if err != nil {
		t.Fatal(err)
	}
	if got := usageOf(proc, table, os.Getpid(), int64(os.Getpagesize())); got.resident < 1<<20 {
		t.Errorf("this process occupies %d bytes; want at least a MiB", got.resident)
	}
}
