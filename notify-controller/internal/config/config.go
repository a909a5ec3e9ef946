// Package config turns flags and environment into one validated value. Names and defaults are Flux's where Flux has them.
package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-gitops/sluice/api/bus"
)

// DefaultNamespace is where the controller is taken to run when RUNTIME_NAMESPACE is not set.
const DefaultNamespace = "flux-system"

// Config is everything that can be set from outside.
type Config struct {
	// Namespace the controller runs in, from RUNTIME_NAMESPACE.
	Namespace string
	// MetricsAddr, HealthAddr and EventsAddr are listened on.
	MetricsAddr, HealthAddr, EventsAddr string
	// Concurrent is how many notifications are sent to one Provider at a time.
	Concurrent int
	// RateLimitInterval in which a POST that repeats an object's last event is answered 429; 0 for never.
	RateLimitInterval time.Duration
	// WatchAllNamespaces, or only Namespace.
	WatchAllNamespaces bool
	// Selector narrows the Alerts and Providers that are looked at.
	Selector labels.Selector
	// NoCrossNamespaceRefs makes Alerts ignore events from other namespaces.
	NoCrossNamespaceRefs bool
	// NATSURL of the bus; empty for none.
	NATSURL string
	// NATSCreds as in [bus.Options.Credentials].
	NATSCreds string

	Client         client.Options
	Log            logger.Options
	LeaderElection leaderelection.Options
}

// Parse reads flags and environment. The error is one for the user; pflag.ErrHelp when only help was asked for.
func Parse(args []string, getenv func(string) string) (Config, error) {
	c := Config{Namespace: getenv("RUNTIME_NAMESPACE")}
	if c.Namespace == "" {
		c.Namespace = DefaultNamespace
	}
	var selector string
	flags := pflag.NewFlagSet("notify-controller", pflag.ContinueOnError)
	flags.StringVar(&c.MetricsAddr, "metrics-addr", ":8080", "The address the metric endpoint binds to.")
	flags.StringVar(&c.HealthAddr, "health-addr", ":9440", "The address the health endpoint binds to.")
	flags.StringVar(&c.EventsAddr, "events-addr", ":9090", "The address the event endpoint binds to; Flux's controllers post there.")
	flags.IntVar(&c.Concurrent, "concurrent", 4, "The number of notifications sent to one Provider at a time.")
	flags.DurationVar(&c.RateLimitInterval, "rate-limit-interval", 5*time.Minute,
		"Interval in which a posted event that repeats the last one of its object is answered 429. Events from the bus are not limited.")
	flags.BoolVar(&c.WatchAllNamespaces, "watch-all-namespaces", true,
		"Watch Alerts and Providers in all namespaces; if false, only in RUNTIME_NAMESPACE.")
	flags.StringVar(&selector, "watch-label-selector", "", "Watch only Alerts and Providers with matching labels.")
	flags.BoolVar(&c.NoCrossNamespaceRefs, "no-cross-namespace-refs", false,
		"Ignore events from namespaces other than the Alert's.")
	flags.StringVar(&c.NATSURL, "nats-url", "",
		"The URL of NATS. Without it only posted events are delivered, and those under way do not survive a restart.")
	flags.StringVar(&c.NATSCreds, "nats-creds", "",
		"A directory with the files username and password, or a .creds file.")
	c.Client.BindFlags(flags)
	c.Log.BindFlags(flags)
	c.LeaderElection.BindFlags(flags)
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return c, c.validate(selector)
}

func (c *Config) validate(selector string) error {
	var err error
	if c.Selector, err = labels.Parse(selector); err != nil {
		return fmt.Errorf("--watch-label-selector: %w", err)
	}
	if c.Concurrent < 1 || c.Concurrent > 100 {
		return fmt.Errorf("--concurrent is %d, want 1 to 100", c.Concurrent)
	}
	if c.RateLimitInterval < 0 {
		return errors.New("--rate-limit-interval is negative")
	}
	if c.NATSCreds != "" && c.NATSURL == "" {
		return errors.New("--nats-creds is set without --nats-url")
	}
	return nil
}

// Bus says how to reach NATS.
func (c Config) Bus() bus.Options {
	return bus.Options{URL: c.NATSURL, Credentials: c.NATSCreds, Name: "notify-controller"}
}
