// Package story runs .txtar files that read like a session at the terminal, against a running world.
//
// kubectl, helm and git are the real clients. Beside testscript's own commands a story has those of commands.go; its
// environment names the places it needs:
//
//	$NS              a namespace of its own, there already
//	$GIT             address below which its repositories are served; commit <folder> pushes to $GIT/<folder>.git
//	$GITSSH          the same over SSH, for the keys of person
//	$REGISTRY        host and path below which its OCI repositories are: oci push, helm push
//	$CHARTS          address below which its Helm repositories are served: helm-repo
//	$S3              host of an S3-compatible store, for $S3_ACCESS_KEY and $S3_SECRET_KEY: bucket
//	$CHART           the folder of charts/sluice
//	$LOGS            the folder with a log per workload
//	$COMMIT          the id of the latest commit
//	$SINK            address that plays Slack (/services/T/B/X, /api/chat.postMessage), PagerDuty (/v2/…) and any webhook,
//	                 for this story alone
//
// Stories run side by side in one world. What a story takes down is down for all of them, one outage at a time: a story
// waits for what it expects with time to spare.
package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gitops/sluice/e2e/cluster/sink"
	"github.com/sluice-gitops/sluice/e2e/world"
)

// Session is what the commands of stories share.
type Session struct {
	// World the stories happen in.
	World *world.World
	// Out receives the narration: what say and show print; nil discards it.
	Out io.Writer

	started atomic.Int32
	// outage is held by the story that has taken something down.
	outage sync.Mutex

	mu    sync.Mutex
	sinks []*sink.Server // of every story so far
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
	return s.open(env, namespace)
}

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
