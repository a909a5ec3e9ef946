package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/notify-controller/internal/config"
)

func none(string) string { return "" }

func TestDefaults(t *testing.T) {
	got, err := config.Parse(nil, none)
	if err != nil {
		t.Fatal(err)
	}
	if got.Namespace != "flux-system" || got.EventsAddr != ":9090" || got.Concurrent != 4 ||
		got.RateLimitInterval != 5*time.Minute || got.NoCrossNamespaceRefs {
		t.Errorf("defaults: %+v", got)
	}
}

func TestFlags(t *testing.T) {
	got, err := config.Parse([]string{"--watch-label-selector=shard=a", "--no-cross-namespace-refs"}, none)
	if err != nil {
		t.Fatal(err)
	}
	options := got.Manager()
	if options.Cache.DefaultLabelSelector.String() != "shard=a" || !got.NoCrossNamespaceRefs {
		t.Errorf("flags: %+v, selector %s", got, options.Cache.DefaultLabelSelector)
	}
	if options.GracefulShutdownTimeout == nil || *options.GracefulShutdownTimeout < 30*time.Second {
		t.Errorf("sends under way have %v to end", options.GracefulShutdownTimeout)
	}
}

func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct{ flag, want string }{
		"no workers":     {"--concurrent=0", "--concurrent is 0"},
		"negative":       {"--rate-limit-interval=-1s", "is negative"},
		"not a duration": {"--rate-limit-interval=1", "invalid argument"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := config.Parse([]string{tc.flag}, none); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
