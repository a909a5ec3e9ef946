package story

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gitops/sluice/e2e/cluster/sink"
	"github.com/sluice-gitops/sluice/e2e/world"
)

// scene is what one story has to itself while others run beside it.
type scene struct {
	// env is the environment of the story's clients.
	env []string
	// sink plays Slack and PagerDuty for this story alone: what it makes them refuse, no other story is refused.
	sink *sink.Server
	// mend ends the failures of a service that last until then.
	mend map[sink.Service][]func()
	// signers are the people who sign commits, by name.
	signers map[string]signer
	// down are the workloads that the story has halted.
	down []string
	// calm is set while it keeps others from halting any.
	calm bool
}

// sceneKey is where a story's scene is kept.
type sceneKey struct{}

func sceneOf(ts *testscript.TestScript) *scene {
	here, ok := ts.Value(sceneKey{}).(*scene)
	if !ok {
		ts.Fatalf("the story has no scene")
	}
	return here
}

// open makes a story's scene; it is cleared away when the story has ended, however it ends.
func (s *Session) open(env *testscript.Env, namespace string) error {
	services, err := sink.Start(sink.Options{})
	if err != nil {
		return err
	}
	here := &scene{sink: services, mend: map[sink.Service][]func(){}, signers: map[string]signer{}}
	s.mu.Lock()
	s.sinks = append(s.sinks, services)
	s.mu.Unlock()
	env.Defer(func() {
		if err := errors.Join(s.restore(here), services.Close()); err != nil {
			fmt.Fprintf(s.Out, "clearing away after %s: %v\n", namespace, err)
		}
	})
	for name, value := range map[string]string{
		"NS":            namespace,
		"KUBECONFIG":    s.World.Cluster.Kubeconfig(),
		"PATH":          s.World.Cluster.Bin() + string(filepath.ListSeparator) + env.Getenv("PATH"),
		"GIT":           strings.TrimSuffix(s.World.Git.URL(namespace), ".git"),
		"GITSSH":        strings.TrimSuffix(s.World.SSH.URL(namespace), ".git"),
		"REGISTRY":      s.World.Registry.Addr() + "/" + namespace,
		"CHARTS":        s.World.Charts.URL(namespace),
		"S3":            s.World.Buckets.Addr(),
		"S3_ACCESS_KEY": world.AccessKey, "S3_SECRET_KEY": world.SecretKey,
		"CHART":               s.World.Chart(),
		"LOGS":                s.World.Stack.Logs(),
		"SINK":                services.URL(),
		"GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME":     "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com",
		"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com",
	} {
		env.Setenv(name, value)
	}
	here.env = append(slices.Clone(env.Vars), "WORK="+env.WorkDir)
	env.Values[sceneKey{}] = here
	return nil
}

// notifications are all that arrived anywhere, a line of JSON each.
func (s *Session) notifications() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	for _, services := range s.sinks {
		text.WriteString(lines(services.Deliveries()))
	}
	return text.String()
}
