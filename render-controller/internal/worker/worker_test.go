package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is what it was started as: a worker that takes from itself what its second argument says, a parent of one, or
// the tests.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "worker":
		startThreads()
		if err := begin(testJob, only(os.Args[2])); err != nil {
			os.Exit(1)
		}
	case len(os.Args) == 2 && os.Args[1] == "rude":
		_ = writeFrame(os.Stdout, kindDone, []byte(`{"result":1}`))
		_, _ = io.Copy(io.Discard, os.Stdin)
	case len(os.Args) == 2 && os.Args[1] == "parent":
		beParent()
	case len(os.Args) == 2 && os.Args[1] == "nothing":
	default:
		os.Exit(m.Run())
	}
}

// only is confine, or one half of it, or none.
func only(part string) func(string) (Confinement, error) {
	return func(folder string) (c Confinement, err error) {
		switch part {
		case "landlock":
			c.Landlock, err = landlockTo(folder)
		case "seccomp":
			err = filterCalls()
			c.Seccomp = err == nil
		case "nothing":
		default:
			return confine(folder)
		}
		if err != nil {
			c.Missing = []string{err.Error()}
		}
		return c, nil
	}
}

type job struct {
	Do   string `json:"do"`
	Text string `json:"text,omitempty"`
	// Place is for attempts.
	Place place `json:"place,omitzero"`
}

// testJob does what a test asks for.
func testJob(raw json.RawMessage, parent *Parent) (any, bool, error) {
	var j job
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, false, err
	}
	switch j.Do {
	case "echo":
		_, _ = os.Stdout.WriteString("a stray line on standard output\n")
		return j.Text, false, parent.Part(j.Text)
	case "pid":
		return os.Getpid(), false, nil
	case "retire":
		return os.Getpid(), true, nil
	case "environment":
		return os.Environ(), false, nil
	case "ask":
		var reply string
		if err := parent.Call("greet", j.Text, &reply); err != nil {
			return err.Error(), false, nil
		}
		return reply, false, nil
	case "http":
		_, err := http.Get("http://127.0.0.1:1/")
		return fmt.Sprint(err), false, nil
	case "exec":
		_, err := exec.LookPath("git")
		return fmt.Sprint(err), false, nil
	case "attempt":
		return onAllThreads(func() string { return outcomeOf(attempts()[j.Text].do(j.Place)) }), false, nil
	case "calls":
		return unknownCalls(), false, nil
	case "open":
		return outcomeOf(unix.Fstat(inherited, &unix.Stat_t{})), false, nil
	case "garbage":
		_, err := parent.out.Write([]byte(j.Text))
		return nil, false, err
	case "flood":
		_, err := parent.out.Write([]byte{byte(kindPart), 0xff, 0xff, 0xff, 0xff})
		return nil, false, err
	case "hello again":
		return nil, false, writeFrame(parent.out, kindHello, []byte("{}"))
	case "crash":
		panic(j.Text)
	case "exit":
		os.Exit(3)
	case "hang":
		select {}
	case "eat":
		var held [][]byte
		for {
			held = append(held, bytes.Repeat([]byte("x"), 16<<20))
			if len(held) > 1000 {
				return len(held), false, nil
			}
		}
	}
	return nil, false, errors.New("unknown job")
}

// peer collects parts and greets.
type peer struct{ parts []string }

func (p *peer) Part(raw json.RawMessage) error {
	p.parts = append(p.parts, string(raw))
	return nil
}

func (p *peer) Call(_ context.Context, method string, params json.RawMessage) (any, error) {
	if method != "greet" {
		return nil, errors.New("unknown method")
	}
	var name string
	if err := json.Unmarshal(params, &name); err != nil || name == "" {
		return nil, errors.New("whom?")
	}
	return "hello " + name, nil
}

func newPool(t *testing.T, options Options) *Pool {
	t.Helper()
	if options.Command == nil {
		options.Command = []string{os.Args[0], "worker", "all"}
	}
	pool := NewPool(options)
	t.Cleanup(pool.Close)
	return pool
}

func runJob(t *testing.T, pool *Pool, j job) string {
	t.Helper()
	result, err := pool.Run(t.Context(), j, &peer{})
	if err != nil {
		t.Fatal(err)
	}
	return string(result)
}

func TestRun(t *testing.T) {
	pool := newPool(t, Options{Size: 1})
	collected := &peer{}
	result, err := pool.Run(t.Context(), job{Do: "echo", Text: "hi"}, collected)
	if err != nil || string(result) != `"hi"` || len(collected.parts) != 1 || collected.parts[0] != `"hi"` {
		t.Errorf("result %s, parts %v, error %v", result, collected.parts, err)
	}
	for _, c := range []struct{ reason, do, text, want string }{
		{"the parent answers", "ask", "Ada", `"hello Ada"`},
		{"the parent's error reaches the child", "ask", "", `"whom?"`},
		{"there is no network", "http", "", "nothing is fetched during a build"},
		{"there are no programs", "exec", "", "executable file not found"},
	} {
		if got := runJob(t, pool, job{Do: c.do, Text: c.text}); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.reason, got, c.want)
		}
	}
	t.Setenv("CANARY", "secret")
	if got := runJob(t, newPool(t, Options{}), job{Do: "environment"}); strings.Contains(got, "CANARY") || !strings.Contains(got, "GOMEMLIMIT") {
		t.Errorf("environment of a child: %s", got)
	}
}

func TestChildrenAreKeptAndReplaced(t *testing.T) {
	pool := newPool(t, Options{Size: 1})
	first := runJob(t, pool, job{Do: "pid"})
	if again := runJob(t, pool, job{Do: "pid"}); again != first {
		t.Errorf("a second job ran in child %s, the first in %s", again, first)
	}
	if retired := runJob(t, pool, job{Do: "retire"}); retired != first {
		t.Errorf("retired %s, want %s", retired, first)
	}
	if fresh := runJob(t, pool, job{Do: "pid"}); fresh == first {
		t.Error("a retired child was used again")
	}
}

func TestLostChildren(t *testing.T) {
	cases := map[string]struct {
		reason  string
		do      string
		options Options
		want    string
	}{
		"crash":    {"a panic", "crash", Options{}, "ended unexpectedly"},
		"exit":     {"it leaves by itself", "exit", Options{}, "ended unexpectedly"},
		"failure":  {"a job that is none", "nonsense", Options{}, "ended unexpectedly"},
		"deadline": {"it does not end", "hang", Options{Deadline: 300 * time.Millisecond}, "did not end within 300ms"},
		"garbage":  {"what it writes is no frame", "garbage", Options{}, "ended unexpectedly"},
		"promise":  {"a frame of 4 GiB", "flood", Options{}, "ended unexpectedly"},
		"greeting": {"it has been confined before", "hello again", Options{}, "ended unexpectedly"},
		"memory":   {"it takes more than it may", "eat", Options{MemoryLimit: 256 << 20}, "more than 256 MiB"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.options.Size = 1
			pool := newPool(t, c.options)
			_, err := pool.Run(t.Context(), job{Do: c.do, Text: "canary"}, &peer{})
			var lost *LostError
			if !errors.As(err, &lost) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: error %v, want %q", c.reason, err, c.want)
			}
			if got := runJob(t, pool, job{Do: "echo", Text: "next"}); got != `"next"` {
				t.Errorf("%s: the next job gave %s", c.reason, got)
			}
		})
	}
}

// patientPeer answers when it is told to.
type patientPeer struct {
	peer
	asked, answer chan struct{}
}

func (p *patientPeer) Call(ctx context.Context, method string, params json.RawMessage) (any, error) {
	close(p.asked)
	<-p.answer
	return p.peer.Call(ctx, method, params)
}

func TestMemoryOfAllTogether(t *testing.T) {
	_, own := memoryOf(os.Getpid())
	if own == 0 {
		t.Fatal("the memory of this process is not known")
	}
	pool := newPool(t, Options{Size: 2, Total: own + 512<<20})
	small := &patientPeer{asked: make(chan struct{}), answer: make(chan struct{})}
	var others sync.WaitGroup
	others.Go(func() {
		if got, err := pool.Run(t.Context(), job{Do: "ask", Text: "Ada"}, small); err != nil || string(got) != `"hello Ada"` {
			t.Errorf("the one that holds little: %s, %v", got, err)
		}
	})
	<-small.asked
	_, err := pool.Run(t.Context(), job{Do: "eat"}, &peer{})
	var lost *LostError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "together") {
		t.Errorf("the one that holds most: %v", err)
	}
	close(small.answer)
	others.Wait()
	if len(pool.memory.held) != 0 {
		t.Errorf("%d children without a job are in the ledger", len(pool.memory.held))
	}
}

func TestLedger(t *testing.T) {
	big, little := &process{}, &process{}
	l := &ledger{total: 100, held: map[*process]int64{}}
	for i, step := range []struct {
		reason       string
		child        *process
		private, own int64
		want         verdict
	}{
		{"there is room", big, 60, 10, enough},
		{"what can be spared goes first", little, 40, 10, spare},
		{"it does not hold most", little, 40, 10, enough},
		{"it holds most", big, 60, 10, tooMuch},
		{"that was enough", big, 40, 10, enough},
		{"it begins anew", big, 60, 10, spare},
	} {
		if got := l.enter(step.child, step.private, step.own); got != step.want {
			t.Errorf("step %d (%s): verdict %d, want %d", i, step.reason, got, step.want)
		}
	}
}

func TestOthersGoOn(t *testing.T) {
	pool := newPool(t, Options{Size: 2})
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			text := fmt.Sprint(i)
			if i%3 == 0 {
				_, err := pool.Run(t.Context(), job{Do: "exit"}, &peer{})
				if err == nil {
					t.Error("an exit gave no error")
				}
				return
			}
			got, err := pool.Run(t.Context(), job{Do: "echo", Text: text}, &peer{})
			if err != nil || string(got) != `"`+text+`"` {
				t.Errorf("job %d: %s, %v", i, got, err)
			}
		})
	}
	group.Wait()
}

func TestEndedContext(t *testing.T) {
	pool := newPool(t, Options{Size: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := pool.Run(ctx, job{Do: "hang"}, &peer{}); err == nil {
		t.Error("a job that hangs ended without an error")
	}
	pool.Close()
	if _, err := pool.Run(t.Context(), job{Do: "echo"}, &peer{}); err == nil {
		t.Error("a closed pool ran a job")
	}
}

func TestServeEndsWithItsParent(t *testing.T) {
	in, parent := io.Pipe()
	started := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- serve(in, io.Discard, func(json.RawMessage, *Parent) (any, bool, error) { close(started); select {} })
	}()
	if err := writeFrame(parent, kindJob, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	<-started
	_ = parent.Close()
	if err := <-ended; err != nil {
		t.Errorf("error %v, want none", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	var frame bytes.Buffer
	if err := writeFrame(&frame, kindJob, []byte(`{"a":1}`)); err != nil {
		f.Fatal(err)
	}
	f.Add(frame.Bytes())
	f.Add([]byte{'j', 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{'d', 0, 0, 0, 9, '{'})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		k, body, err := readFrame(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeFrame(&again, k, body); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, again.Bytes()) {
			t.Errorf("%q was read as %q", data, again.Bytes())
		}
	})
}
