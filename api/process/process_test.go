package process_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/sluice-gitops/sluice/api/process"
)

func parse(env string, args ...string) (process.Settings, error) {
	s := process.Settings{Name: "gate-controller", Concurrent: 4}
	err := s.Parse(args, func(string) string { return env }, func(*pflag.FlagSet) {})
	return s, err
}

func TestDefaults(t *testing.T) {
	s, err := parse("")
	if err != nil {
		t.Fatal(err)
	}
	if s.Namespace != "flux-system" || s.HealthAddr != ":9440" || s.MetricsAddr != ":8080" || s.Concurrent != 4 ||
		!s.WatchAllNamespaces || !s.Selector.Empty() || s.NATSURL != "" {
		t.Errorf("defaults: %+v", s)
	}
	options := s.Manager()
	if options.LeaderElection || options.LeaderElectionID != "gate-controller-leader-election" || options.Cache.DefaultNamespaces != nil {
		t.Errorf("manager: election %t of %s, namespaces %v", options.LeaderElection, options.LeaderElectionID, options.Cache.DefaultNamespaces)
	}
}

func TestFlags(t *testing.T) {
	s, err := parse("gitops", "--watch-all-namespaces=false", "--watch-label-selector=sharding.fluxcd.io/key=a",
		"--nats-url=nats://nats:4222", "--nats-creds=/etc/sluice/nats", "--concurrent=9", "--enable-leader-election")
	if err != nil {
		t.Fatal(err)
	}
	options := s.Manager()
	if _, only := options.Cache.DefaultNamespaces["gitops"]; !only || len(options.Cache.DefaultNamespaces) != 1 {
		t.Errorf("namespaces: %v", options.Cache.DefaultNamespaces)
	}
	if !options.LeaderElection || options.LeaderElectionNamespace != "gitops" ||
		!strings.HasPrefix(options.LeaderElectionID, "gate-controller-leader-election-") {
		t.Errorf("a shard's election: %t, %s/%s", options.LeaderElection, options.LeaderElectionNamespace, options.LeaderElectionID)
	}
	if b := s.Bus(); b.URL != "nats://nats:4222" || b.Credentials != "/etc/sluice/nats" || b.Name != "gate-controller" {
		t.Errorf("bus: %+v", b)
	}
	if s.Concurrent != 9 {
		t.Errorf("concurrent: %d", s.Concurrent)
	}
}

func TestOwnFlagsKnowTheNamespace(t *testing.T) {
	s, address := process.Settings{Name: "gate-controller", Concurrent: 1}, ""
	err := s.Parse(nil, func(string) string { return "gitops" }, func(flags *pflag.FlagSet) {
		flags.StringVar(&address, "storage-adv-addr", s.Name+"."+s.Namespace, "")
	})
	if err != nil || address != "gate-controller.gitops" {
		t.Errorf("address %q, %v", address, err)
	}
}

func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct{ reason, arg, want string }{
		"unknown flag": {"a typo is told", "--concurent=1", "concurent"},
		"argument":     {"there are none", "extra", `unexpected argument "extra"`},
		"bad selector": {"a selector has a grammar", "--watch-label-selector=a=b=c", "--watch-label-selector"},
		"no workers":   {"somebody has to work", "--concurrent=0", "--concurrent is 0"},
		"too many":     {"nobody means that", "--concurrent=1001", "--concurrent is 1001"},
		"creds alone":  {"there is nobody to show them to", "--nats-creds=/x", "without --nats-url"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse("", tc.arg); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, want %q", tc.reason, err, tc.want)
			}
		})
	}
	if _, err := parse("", "--help"); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}

// TestSecretsAreNotKept: what a manager caches can be read from its memory for as long as it lives.
func TestSecretsAreNotKept(t *testing.T) {
	s, err := parse("")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, object := range s.Manager().Client.Cache.DisableFor {
		kinds = append(kinds, fmt.Sprintf("%T", object))
	}
	if !slices.Contains(kinds, "*v1.Secret") || !slices.Contains(kinds, "*v1.ConfigMap") {
		t.Errorf("cached but %v", kinds)
	}
}
