package helmrepo_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
)

const (
	// indexToRead names the file that a child process is to read.
	indexToRead = "SLUICE_TEST_INDEX"
	// manyVersions and manyBytes are a large index, as of a repository that has kept all for years.
	manyVersions = 30_000
	manyBytes    = 20 << 20
	// peak and rest are what reading it may add to a process' memory, in bytes: at its peak, and afterwards.
	peak = 150 << 20
	rest = 1 << 20
)

func TestMain(m *testing.M) {
	if file := os.Getenv(indexToRead); file != "" {
		if err := readMeasured(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// readMeasured reads an index as a HelmRepository and then some HelmCharts do, and prints what the process took at its peak, and
// what of that is in use afterwards, in bytes.
func readMeasured(file string) error {
	before := heap()
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	x, err := helmrepo.Read(f)
	if err != nil {
		return err
	}
	if x.Versions != manyVersions {
		return fmt.Errorf("%d versions", x.Versions)
	}
	var indexes helmrepo.Indexes
	indexes.Put("digest", x)
	for i := range 4 {
		kept, err := indexes.Get("digest", f)
		if err != nil {
			return err
		}
		if _, err := kept.Find(f, "chart-0", fmt.Sprintf("1.%d.0", i)); err != nil {
			return err
		}
	}
	after := heap()
	peak, err := highWater()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, peak, max(after, before)-before)
	runtime.KeepAlive(&indexes)
	return err
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// highWater is the largest part of this process that was ever in memory, in bytes.
func highWater() (int64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, io.ErrUnexpectedEOF
}

// writeIndex writes an index of manyVersions versions and about manyBytes.
func writeIndex(t testing.TB, charts int, json bool) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "index.yaml")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	put := func(format string, args ...any) {
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			t.Fatal(err)
		}
	}
	describe := strings.Repeat("a chart for something, ", manyBytes/manyVersions/23-12)
	put("%s", map[bool]string{false: "apiVersion: v1\nentries:\n", true: `{"apiVersion":"v1","entries":{`}[json])
	for c := range charts {
		if !json {
			put("  chart-%d:\n", c)
		} else {
			put(`%s"chart-%d":[`, strings.Repeat(",", min(c, 1)), c)
		}
		for v := range manyVersions / charts {
			if !json {
				put("  - apiVersion: v2\n    created: \"2026-01-02T03:04:05.678Z\"\n    description: %s\n    digest: %064d\n    home: https://example.com\n"+
					"    maintainers:\n    - email: a@example.com\n      name: a\n    name: chart-%d\n    urls:\n    - https://charts.example.com/chart-%d-1.%d.0.tgz\n"+
					"    version: 1.%d.0\n", describe, v, c, c, v, v)
				continue
			}
			put(`%s{"apiVersion":"v2","created":"2026-01-02T03:04:05.678Z","description":"%s","digest":"%064d","home":"https://example.com",`+
				`"maintainers":[{"email":"a@example.com","name":"a"}],"name":"chart-%d","urls":["https://charts.example.com/chart-%d-1.%d.0.tgz"],"version":"1.%d.0"}`,
				strings.Repeat(",", min(v, 1)), describe, v, c, c, v, v)
		}
		if json {
			put("]")
		}
	}
	put("%s", map[bool]string{false: "generated: \"2026-01-02T03:04:05Z\"\n", true: "}}"}[json])
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() < manyBytes*9/10 || info.Size() > manyBytes*11/10 {
		t.Fatalf("the index has %d bytes, %v", info.Size(), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestS14MemoryOfALargeIndex holds what a process takes while it reads an index of 20 MB and 30,000
// versions, and while charts look for theirs; and what is left of that.
func TestS14MemoryOfALargeIndex(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		charts int
		json   bool
	}{
		"300 charts": {300, false}, "a single chart in JSON": {1, true},
	} {
		t.Run(name, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), self)
			child.Env = append(os.Environ(), indexToRead+"="+writeIndex(t, tc.charts, tc.json))
			child.Stderr = os.Stderr
			out, err := child.Output()
			if err != nil {
				t.Fatal(err)
			}
			var most, left int64
			if _, err := fmt.Sscan(string(out), &most, &left); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d MiB at its peak, with everything that the test binary takes; %d KiB afterwards", most>>20, left>>10)
			if most > peak || left > rest {
				t.Errorf("%d bytes at its peak, %d afterwards; want at most %d and %d", most, left, peak, rest)
			}
		})
	}
}
