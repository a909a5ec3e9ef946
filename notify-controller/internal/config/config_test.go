package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-gitops/sluice/notify-controller/internal/config"
)

func TestDefaults(t *testing.T) {
	got, err := config.Parse(nil, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if got.Namespace != "flux-system" || got.EventsAddr != ":9090" || got.HealthAddr != ":9440" || got.MetricsAddr != ":8080" ||
		got.Concurrent != 4 || got.RateLimitInterval != 5*time.Minute || !got.WatchAllNamespaces || !got.Selector.Empty() ||
		got.NATSURL != "" || got.LeaderElection.Enable {
		t.Errorf("defaults: %+v", got)
	}
	if id := got.Manager().LeaderElectionID; id != "notify-controller-leader-election" {
		t.Errorf("lease %q", id)
	}
}

func TestFlags(t *testing.T) {
	args := []string{
		"--watch-all-namespaces=false", "--watch-label-selector=sharding.fluxcd.io/key=a", "--nats-url=nats://nats:4222",
		"--nats-creds=/etc/sluice/nats", "--no-cross-namespace-refs", "--concurrent=9",
	}
	got, err := config.Parse(args, func(string) string { return "gitops" })
	if err != nil {
		t.Fatal(err)
	}
	options := got.Manager()
	if _, only := options.Cache.DefaultNamespaces["gitops"]; !only || len(options.Cache.DefaultNamespaces) != 1 {
		t.Errorf("namespaces: %v", options.Cache.DefaultNamespaces)
	}
	if !strings.HasPrefix(options.LeaderElectionID, "notify-controller-leader-election-") || options.LeaderElectionNamespace != "gitops" {
		t.Errorf("lease %s/%s", options.LeaderElectionNamespace, options.LeaderElectionID)
	}
	if b := got.Bus(); b.URL != "nats://nats:4222" || b.Credentials != "/etc/sluice/nats" || b.Name != "notify-controller" {
		t.Errorf("bus: %+v", b)
	}
	if !got.NoCrossNamespaceRefs || got.Concurrent != 9 {
		t.Errorf("flags: %+v", got)
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]struct{ flag, want string }{
		"unknown flag":   {"--no-such-flag", "unknown flag"},
		"argument":       {"extra", `unexpected argument "extra"`},
		"bad selector":   {"--watch-label-selector=a=b=c", "--watch-label-selector"},
		"no workers":     {"--concurrent=0", "--concurrent is 0"},
		"negative":       {"--rate-limit-interval=-1s", "is negative"},
		"creds, no URL":  {"--nats-creds=/x", "without --nats-url"},
		"not a duration": {"--rate-limit-interval=1", "invalid argument"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]string{tc.flag}, func(string) string { return "" })
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := config.Parse([]string{"--help"}, func(string) string { return "" }); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}
