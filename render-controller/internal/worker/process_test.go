package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inherited is the number of a file that the tests' process has open for all its children.
const inherited = 200

func TestChildrenInheritNoFile(t *testing.T) {
	place := somewhere(t)
	file, err := os.Open(place.Canary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := unix.Dup3(int(file.Fd()), inherited, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(inherited) }()
	want := unix.EBADF.Error()
	if err := unix.CloseRange(inherited+1, inherited+1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		want = succeeded // the kernel is older than that
	}
	if got := runJob(t, newPool(t, Options{}), job{Do: "open"}); got != strconv.Quote(want) {
		t.Errorf("a file of the parent: %s, want %q", got, want)
	}
}

func TestIdleChildThatDied(t *testing.T) {
	pool := newPool(t, Options{Size: 1})
	runJob(t, pool, job{Do: "pid"})
	child := pool.idle[0]
	if err := child.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-child.gone
	if got := runJob(t, pool, job{Do: "echo", Text: "next"}); got != `"next"` {
		t.Errorf("the next job gave %s", got)
	}
}

func TestChildOutlivesTheThreadThatAskedForIt(t *testing.T) {
	pool := newPool(t, Options{Size: 1})
	var first string
	thread := onThreadThatEnds(func() { first = runJob(t, pool, job{Do: "pid"}) })
	until(t, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread))
		return errors.Is(err, os.ErrNotExist)
	})
	if again := runJob(t, pool, job{Do: "pid"}); again != first {
		t.Errorf("a second job ran in child %s, the first in %s, which has ended with the thread", again, first)
	}
}

// onThreadThatEnds returns the thread that did it, which is not the process' first: that one stays.
func onThreadThatEnds(do func()) int {
	done := make(chan int)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread()
			done <- onThreadThatEnds(do)
			return
		}
		defer func() { done <- unix.Gettid() }() // and the thread ends with this goroutine, which does not give it back
		do()
	}()
	return <-done
}

// until waits for what has no channel.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 10_000 {
		if holds() {
			return
		}
		<-tick.C
	}
	t.Fatal("it did not happen within 10 seconds")
}

// awaitEnd waits for a process that is not a child of this one.
func awaitEnd(t *testing.T, process int) {
	t.Helper()
	defer func() { _ = unix.Close(process) }()
	until(t, func() bool {
		ended, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, 0)
		return ended == 1 && err == nil
	})
}

func TestRudeChild(t *testing.T) {
	pool := newPool(t, Options{Command: []string{os.Args[0], "rude"}, Size: 1})
	_, err := pool.Run(t.Context(), job{Do: "pid"}, &peer{})
	var lost *LostError
	if !errors.As(err, &lost) || !errors.Is(err, errFrame) {
		t.Errorf("error %v of a child that does not say what it has taken from itself", err)
	}
}

// beParent has an idle child until it is killed.
func beParent() {
	pool := NewPool(Options{Command: []string{os.Args[0], "worker", "all"}})
	pid, err := pool.Run(context.Background(), job{Do: "pid"}, &peer{})
	if err != nil {
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, string(pid))
	select {}
}

func TestChildDiesWithItsParent(t *testing.T) {
	for name, before := range map[string]unix.Signal{"idle": unix.SIGCONT, "stopped, and blind to the end of its input": unix.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			parent := exec.Command(os.Args[0], "parent")
			out, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			var pid int
			if err != nil || json.Unmarshal([]byte(strings.TrimSpace(line)), &pid) != nil {
				t.Fatalf("the parent said %q, %v", line, err)
			}
			child, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(pid, before); err != nil {
				t.Fatal(err)
			}
			_ = parent.Process.Kill()
			_ = parent.Wait()
			awaitEnd(t, child)
		})
	}
}
