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

// pollInterval is how soon until asks again; what takes longer is asked less often, up to maxPollInterval: a client costs
// more than what it asks.
const (
	pollInterval    = 100 * time.Millisecond
	maxPollInterval = 800 * time.Millisecond
)

// clientTimeout bounds one run of a client that is repeated.
const clientTimeout = 30 * time.Second

type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are what a story can do besides testscript's own.
func (s *Session) commands(ctx context.Context) map[string]command {
	return map[string]command{
		"kubectl":   client("kubectl"),
		"helm":      client("helm"),
		"git":       client("git"),
		"say":       s.say,
		"show":      s.show(ctx),
		"commit":    s.commit(ctx),
		"private":   s.private,
		"oci":       s.oci(ctx),
		"helm-repo": s.helmRepo,
		"bucket":    s.bucket,
		"artifact":  s.artifact,
		"locked":    s.locked,
		"person":    s.person,
		"sign":      sign,
		"expand":    expand,
		"until":     s.until(ctx),
		"never":     s.never(ctx),
		"ready":     s.ask(ctx, "ready"),
		"probe":     s.ask(ctx, "probe"),
		"received":  s.ask(ctx, "received"),
		"refused":   s.ask(ctx, "refused"),
		"incidents": s.ask(ctx, "incidents"),
		"fail":      fail,
		"mend":      mend,
		"crash":     s.crash(ctx),
		"calm":      s.calm,
		"halt":      s.halt,
		"launch":    s.launch(ctx),
		"resume":    s.resume(ctx),
		"damage":    s.damage(ctx),
		"agekey":    agekey,
		"encrypt":   encrypt,
		"tamper":    tamper,
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
func (s *Session) show(ctx context.Context) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) == 0 {
			ts.Fatalf("usage: show command [argument …]")
		}
		fmt.Fprintf(s.Out, "$ %s\n", line(args))
		if text, ok := s.tell(ctx, ts, args); ok {
			fmt.Fprint(s.Out, text)
			return
		}
		run(ts, neg, args[0], args[1:]...)
		fmt.Fprint(s.Out, ts.ReadFile("stdout"))
	}
}

// line is a command as a shell takes it.
func line(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		if quoted[i] = arg; !plain.MatchString(arg) {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// plain is an argument that means the same to a shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+-]+$`)

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

// until repeats a command until its output matches, with ! until it does not, or fails when the time is over:
// until 30s 'Applied revision' kubectl get kustomization apps
func (s *Session) until(ctx context.Context) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		q := s.question(ts, args)
		if !q.poll(ctx, func(answer string) bool { return q.pattern.MatchString(answer) != neg }) {
			ts.Fatalf("not within %s: %s (negated: %t). The last output was:\n%s", q.limit, q.pattern, neg, q.last)
		}
	}
}

// never repeats a command for a time, and fails as soon as its output matches: what must not happen has that long to
// happen. never 2s 'app' kubectl get configmap app
func (s *Session) never(ctx context.Context) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		q := s.question(ts, args)
		if neg {
			ts.Fatalf("never is negated: use until")
		}
		if q.poll(ctx, q.pattern.MatchString) {
			ts.Fatalf("within %s: %s. The output was:\n%s", q.limit, q.pattern, q.last)
		}
	}
}

// question is a command that is repeated.
type question struct {
	limit   time.Duration
	pattern *regexp.Regexp
	ask     func(ctx context.Context) string
	last    string
}

func (s *Session) question(ts *testscript.TestScript, args []string) *question {
	if len(args) < 3 {
		ts.Fatalf("usage: [!] until|never duration regexp command [argument …]")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	pattern, err := regexp.Compile("(?s)" + args[1])
	ts.Check(err)
	return &question{limit: limit, pattern: pattern, ask: func(ctx context.Context) string {
		if text, ok := s.tell(ctx, ts, args[2:]); ok {
			return text
		}
		return capture(ctx, ts, args[2:])
	}}
}

// poll asks until an answer is the right one, and says whether there was one in time. It asks at least once, and what was
// asked in time is answered.
func (q *question) poll(ctx context.Context, right func(answer string) bool) bool {
	over, cancel := context.WithTimeout(ctx, q.limit)
	defer cancel()
	for pause := pollInterval; ; pause = min(2*pause, maxPollInterval) {
		if q.last = q.ask(ctx); right(q.last) {
			return true
		}
		select {
		case <-over.Done():
			return false
		case <-time.After(pause):
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
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = sceneOf(ts).env
	cmd.WaitDelay = time.Second
	output, err := cmd.CombinedOutput()
	if err != nil {
		return err.Error() + "\n" + string(output)
	}
	return string(output)
}
