package gittest

import (
	"math/rand"
	"os/signal"
	"syscall"
	"testing"
)

// FullDisk makes every write of this process fail that would make a file longer than limit bytes, as on a disk that is
// full, until release is called or the test ends. Processes that are started meanwhile are bound too, and so are the files
// of the test's own: the limit should be far beyond them.
func FullDisk(t testing.TB, limit uint64) (release func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	set := func(cur uint64) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: cur, Max: before.Max}); err != nil {
			t.Error(err)
		}
	}
	set(limit)
	release = func() { set(before.Cur) }
	t.Cleanup(release)
	return release
}

// Random is a text of a size that cannot be compressed, always the same.
func Random(size int) string {
	b := make([]byte, size)
	source := rand.New(rand.NewSource(1))
	for i := range b {
		b[i] = byte(source.Uint32())
	}
	return string(b)
}
