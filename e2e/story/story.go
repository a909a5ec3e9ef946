// Package story runs .txtar files that read like a session at the terminal, against a running world.
//
// kubectl, helm and git are the real clients. Beside testscript's own commands a story has those of commands.go; its
// environment names the places it needs:
//
//	$NS              a namespace of its own, there already
//	$GIT             address below which its repositories are served; commit <folder> pushes to $GIT/<folder>.git
//	$CHART           the folder of charts/sluice
//	$COMMIT          the id of the latest commit
//	$SINK            address that plays Slack (/services/T/B/X, /api/chat.postMessage), PagerDuty (/v2/…) and any webhook
package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gitops/sluice/e2e/world"
)

// Session is what the commands of stories share.
type Session struct {
	// World the stories happen in.
	World *world.World
	// Out receives the narration: what say and show print; nil discards it.
	Out io.Writer

	started atomic.Int32
	// processes is held while a workload is killed or started: stories run side by side.
	processes sync.Mutex
}

// Params are testscript's parameters for the given files.
func (s *Session) Params(ctx context.Context, files ...string) testscript.Params {
	if s.Out == nil {
		s.Out = io.Discard
	}
	return testscript.Params{
		Files:               files,
		Setup:               func(env *testscript.Env) error { return s.setup(ctx, env) },
		Cmds:                s.commands(ctx),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	}
}

// setup gives a story its namespace and its environment.
func (s *Session) setup(ctx context.Context, env *testscript.Env) error {
	name := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
	namespace := fmt.Sprintf("%s-%d", name, s.started.Add(1))
	if name == "demo" {
		namespace = name
	}
	if _, err := s.World.Cluster.Kubectl(ctx, "create", "namespace", namespace); err != nil {
		return err
	}
	env.Setenv("NS", namespace)
	env.Setenv("KUBECONFIG", s.World.Cluster.Kubeconfig())
	env.Setenv("PATH", s.World.Cluster.Bin()+":"+env.Getenv("PATH"))
	env.Setenv("GIT", strings.TrimSuffix(s.World.Git.URL(namespace), ".git"))
	env.Setenv("CHART", s.World.Chart())
	env.Setenv("SINK", s.World.Sink.URL())
	env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	for _, role := range []string{"AUTHOR", "COMMITTER"} {
		env.Setenv("GIT_"+role+"_NAME", "Ada")
		env.Setenv("GIT_"+role+"_EMAIL", "ada@example.com")
	}
	env.Values[variables{}] = append(slices.Clone(env.Vars), "WORK="+env.WorkDir)
	return nil
}

// variables is the key under which a story keeps the environment of its clients.
type variables struct{}

// Play runs one story outside a test, as make demo does. The error tells which line failed.
func (s *Session) Play(ctx context.Context, file string) (err error) {
	t := &player{out: s.Out}
	defer func() {
		if r := recover(); r != nil {
			if failure, ok := r.(error); !ok || !errors.Is(failure, errFailed) {
				panic(r)
			}
			err = fmt.Errorf("%s failed:\n%s", filepath.Base(file), t.log.String())
		}
	}()
	params := s.Params(ctx, file)
	params.Deadline = time.Now().Add(10 * time.Minute)
	testscript.RunT(t, params)
	return nil
}
