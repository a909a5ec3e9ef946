package story

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// pollInterval is how often until asks again.
const pollInterval = 100 * time.Millisecond

type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are what a story can do besides testscript's own.
func (s *Session) commands(ctx context.Context) map[string]command {
	return map[string]command{
		"kubectl":   client("kubectl"),
		"helm":      client("helm"),
		"git":       client("git"),
		"say":       s.say,
		"show":      s.show,
		"commit":    s.commit(ctx),
		"ready":     s.printReady(ctx),
		"until":     s.until(ctx),
		"crash":     s.crash(ctx),
		"halt":      s.halt,
		"resume":    s.resume(ctx),
		"received":  s.received,
		"refused":   s.refused,
		"incidents": s.incidents,
		"fail":      s.fail,
		"private":   s.private,
		"tamper":    tamper,
		"expand":    expand,
		"encrypt":   encrypt,
		"agekey":    agekey,
		"leaks":     s.leaks(ctx),
	}
}

// client runs a real client: kubectl get …
func client(name string) command {
	return func(ts *testscript.TestScript, neg bool, args []string) { run(ts, neg, name, args...) }
}

func run(ts *testscript.TestScript, neg bool, name string, args ...string) {
	err := ts.Exec(name, args...)
	switch {
	case err != nil && !neg:
		ts.Fatalf("%s failed: %v", name, err)
	case err == nil && neg:
		ts.Fatalf("%s succeeded, and should not have", name)
	}
}

// say narrates: say first the base is fetched
func (s *Session) say(_ *testscript.TestScript, _ bool, args []string) {
	fmt.Fprintf(s.Out, "\n── %s\n", strings.Join(args, " "))
}

// show runs a client and shows the command and what it printed: show kubectl get kustomizations
func (s *Session) show(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: show command [argument …]")
	}
	fmt.Fprintf(s.Out, "$ %s\n", strings.Join(args, " "))
	if text, ok := s.report(args); ok {
		fmt.Fprint(s.Out, text)
		return
	}
	run(ts, neg, args[0], args[1:]...)
	fmt.Fprint(s.Out, ts.ReadFile("stdout"))
}

// commit records a folder of the story, pushes it to the Git server and sets $COMMIT: commit apps 'first version'
func (s *Session) commit(ctx context.Context) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) != 2 || neg {
			ts.Fatalf("usage: commit folder message")
		}
		folder, message := ts.MkAbs(args[0]), args[1]
		if _, err := os.Stat(filepath.Join(folder, ".git")); err != nil {
			repo, err := s.World.Git.Repo(ctx, ts.Getenv("NS")+"/"+args[0])
			ts.Check(err)
			run(ts, false, "git", "-C", folder, "init", "--quiet", "--initial-branch=main")
			run(ts, false, "git", "-C", folder, "remote", "add", "origin", repo.URL)
		}
		run(ts, false, "git", "-C", folder, "add", "--all")
		run(ts, false, "git", "-C", folder, "commit", "--quiet", "--allow-empty", "--message", message)
		run(ts, false, "git", "-C", folder, "push", "--quiet", "origin", "HEAD:main")
		run(ts, false, "git", "-C", folder, "rev-parse", "HEAD")
		ts.Setenv("COMMIT", strings.TrimSpace(ts.ReadFile("stdout")))
	}
}

// private makes a repository ask for a login: private apps ada password
func (s *Session) private(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: private folder user password")
	}
	s.World.Git.RequireLogin(ts.Getenv("NS")+"/"+args[0], args[1], args[2])
}

// expand replaces $VARIABLES in files by the story's environment: expand sync.yaml
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(os.Expand(ts.ReadFile(name), ts.Getenv)), 0o600))
	}
}

// printReady prints the Ready condition of an object: ready kustomization/apps
func (s *Session) printReady(ctx context.Context) command {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) != 1 {
			ts.Fatalf("usage: ready kind/name")
		}
		fmt.Fprintln(ts.Stdout(), s.ready(ctx, ts.Getenv("NS"), args[0]))
	}
}

// until repeats a command until its output matches, or fails when the time is over:
// until 30s 'Applied revision' kubectl get kustomization apps
func (s *Session) until(ctx context.Context) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) < 3 {
			ts.Fatalf("usage: [!] until duration regexp command [argument …]")
		}
		limit, err := time.ParseDuration(args[0])
		ts.Check(err)
		pattern, err := regexp.Compile("(?s)" + args[1])
		ts.Check(err)
		output := func() string {
			if args[2] == "ready" && len(args) == 4 {
				return s.ready(ctx, ts.Getenv("NS"), args[3])
			}
			if text, ok := s.report(args[2:]); ok {
				return text
			}
			return capture(ctx, ts, args[2:])
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		ticker := time.NewTicker(pollInterval)
		defer ticker.Stop()
		for {
			last := output()
			if pattern.MatchString(last) != neg {
				return
			}
			select {
			case <-ctx.Done():
				ts.Fatalf("not within %s: %s (negated: %t). The last output was:\n%s", limit, args[1], neg, last)
			case <-ticker.C:
			}
		}
	}
}

// readyTemplate prints the Ready condition as "False BuildFailed: message".
const readyTemplate = `jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.reason}: {.message}{end}`

// ready is the Ready condition of an object in the story's namespace: ready kustomization/apps
func (s *Session) ready(ctx context.Context, namespace, object string) string {
	text, err := s.World.Cluster.Kubectl(ctx, "-n", namespace, "get", object, "-o", readyTemplate)
	if err != nil {
		return err.Error()
	}
	return text
}

// capture runs a client and returns what it printed, whether or not it succeeded. It leaves no trace in the story's log,
// where what was asked in vain only hides what matters.
func capture(ctx context.Context, ts *testscript.TestScript, args []string) string {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env, _ = ts.Value(variables{}).([]string)
	cmd.WaitDelay = time.Second
	output, err := cmd.CombinedOutput()
	if err != nil {
		return err.Error() + "\n" + string(output)
	}
	return string(output)
}

// crash kills a workload with SIGKILL and starts it again: crash source-controller
func (s *Session) crash(ctx context.Context) command {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		for _, name := range args {
			p := s.World.Stack.Process(name)
			if p == nil {
				ts.Fatalf("no workload %s", name)
			}
			s.processes.Lock()
			p.Kill()
			err := p.Restart(ctx)
			s.processes.Unlock()
			ts.Check(err)
		}
	}
}

// halt kills workloads and leaves them down: halt nats
func (s *Session) halt(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		p := s.World.Stack.Process(name)
		if p == nil {
			ts.Fatalf("no workload %s", name)
		}
		s.processes.Lock()
		p.Kill()
		s.processes.Unlock()
	}
}

// resume starts what halt took down: resume nats
func (s *Session) resume(ctx context.Context) command {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		for _, name := range args {
			p := s.World.Stack.Process(name)
			if p == nil {
				ts.Fatalf("no workload %s", name)
			}
			s.processes.Lock()
			err := p.Restart(ctx)
			s.processes.Unlock()
			ts.Check(err)
		}
	}
}
