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

// Name of the controller: of its leader election, its client on the bus, and its field ownership.
const Name = "source-controller"

// DefaultNamespace is where the controller is taken to run when RUNTIME_NAMESPACE is not set.
const DefaultNamespace = "flux-system"

// Config is everything that can be set from outside.
type Config struct {
	// Namespace the controller runs in, from RUNTIME_NAMESPACE.
	Namespace string
	// MetricsAddr and HealthAddr are listened on.
	MetricsAddr, HealthAddr string
	// Concurrent is how many objects of a kind are reconciled at a time.
	Concurrent int
	// WatchAllNamespaces, or only Namespace.
	WatchAllNamespaces bool
	// Selector narrows the sources that are reconciled; SelectorText is how it was written.
	Selector     labels.Selector
	SelectorText string
	// RequeueDependency is when a chart whose source has no artifact yet is looked at again.
	RequeueDependency time.Duration
	// MinRetryDelay and MaxRetryDelay bound the delay after failures.
	MinRetryDelay, MaxRetryDelay time.Duration
	// Jitter is by how many percent intervals vary.
	Jitter uint8
	// NATSURL of the bus; empty for none. NATSCreds as in [bus.Options.Credentials].
	NATSURL, NATSCreds string

	Storage        Storage
	Client         client.Options
	Log            logger.Options
	LeaderElection leaderelection.Options
}

// Storage says where artifacts lie and how they are served.
type Storage struct {
	// Path of the folder, Addr to listen on, AdvAddr to advertise.
	Path, Addr, AdvAddr string
	// RetentionTTL is how long superseded artifacts stay, RetentionRecords how many artifacts of one object at most.
	RetentionTTL     time.Duration
	RetentionRecords int
	// MaxBytes and MaxFiles bound one artifact, before compression.
	MaxBytes int64
	MaxFiles int
}

// Parse reads flags and environment. The error is one for the user; pflag.ErrHelp when only help was asked for.
func Parse(args []string, getenv func(string) string) (Config, error) {
	c := Config{Namespace: getenv("RUNTIME_NAMESPACE")}
	if c.Namespace == "" {
		c.Namespace = DefaultNamespace
	}
	flags := pflag.NewFlagSet(Name, pflag.ContinueOnError)
	c.bind(flags)
	c.Storage.bind(flags, c.Namespace, getenv)
	if err := flags.Parse(args); err != nil {
		return c, fmt.Errorf("read flags: %w", err)
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return c, c.validate()
}

func (c *Config) bind(flags *pflag.FlagSet) {
	flags.StringVar(&c.MetricsAddr, "metrics-addr", ":8080", "The address the metric endpoint binds to.")
	flags.StringVar(&c.HealthAddr, "health-addr", ":9440", "The address the health endpoint binds to.")
	flags.IntVar(&c.Concurrent, "concurrent", 2, "The number of objects of each kind reconciled at a time.")
	flags.BoolVar(&c.WatchAllNamespaces, "watch-all-namespaces", true,
		"Watch sources in all namespaces; if false, only in RUNTIME_NAMESPACE.")
	flags.StringVar(&c.SelectorText, "watch-label-selector", "", "Watch only sources with matching labels.")
	flags.DurationVar(&c.RequeueDependency, "requeue-dependency", 30*time.Second,
		"When a chart whose source has no artifact yet is looked at again.")
	flags.DurationVar(&c.MinRetryDelay, "min-retry-delay", 750*time.Millisecond, "The delay after a first failure.")
	flags.DurationVar(&c.MaxRetryDelay, "max-retry-delay", 15*time.Minute,
		"The longest delay after failures; an object never waits longer than its interval.")
	flags.Uint8Var(&c.Jitter, "interval-jitter-percentage", 5, "By how many percent intervals vary, up and down.")
	flags.StringVar(&c.NATSURL, "nats-url", "", "The URL of NATS. Without it notifications are off.")
	flags.StringVar(&c.NATSCreds, "nats-creds", "", "A directory with the files username and password, or a .creds file.")
	c.Client.BindFlags(flags)
	c.Log.BindFlags(flags)
	c.LeaderElection.BindFlags(flags)
}

func (s *Storage) bind(flags *pflag.FlagSet, namespace string, getenv func(string) string) {
	or := func(name, otherwise string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	flags.StringVar(&s.Path, "storage-path", or("STORAGE_PATH", "/data"), "The folder of artifacts and clones.")
	flags.StringVar(&s.Addr, "storage-addr", or("STORAGE_ADDRESS", ":9090"), "The address artifacts are served on.")
	flags.StringVar(&s.AdvAddr, "storage-adv-addr",
		or("STORAGE_ADV_ADDR", Name+"."+namespace+".svc.cluster.local."), "The address artifacts are advertised under.")
	flags.DurationVar(&s.RetentionTTL, "artifact-retention-ttl", time.Minute,
		"How long a superseded artifact is kept for those that still download it.")
	flags.IntVar(&s.RetentionRecords, "artifact-retention-records", 2, "How many artifacts of one object are kept at most.")
	flags.Int64Var(&s.MaxBytes, "artifact-max-size", 1<<30, "How many bytes the files of one artifact may have together.")
	flags.IntVar(&s.MaxFiles, "artifact-max-files", 200_000, "How many files and folders a source may have.")
}

func (c *Config) validate() error {
	selector, err := labels.Parse(c.SelectorText)
	if err != nil {
		return fmt.Errorf("--watch-label-selector: %w", err)
	}
	c.Selector = selector
	switch {
	case c.Concurrent < 1 || c.Concurrent > 100:
		return fmt.Errorf("--concurrent is %d, want 1 to 100", c.Concurrent)
	case c.Jitter >= 100:
		return fmt.Errorf("--interval-jitter-percentage is %d, want less than 100", c.Jitter)
	case c.MinRetryDelay <= 0 || c.MaxRetryDelay < c.MinRetryDelay:
		return errors.New("--min-retry-delay must be positive, and --max-retry-delay not less")
	case c.RequeueDependency <= 0:
		return errors.New("--requeue-dependency must be positive")
	case c.NATSCreds != "" && c.NATSURL == "":
		return errors.New("--nats-creds is set without --nats-url")
	}
	return c.Storage.validate()
}

func (s *Storage) validate() error {
	switch {
	case s.Path == "" || s.AdvAddr == "":
		return errors.New("--storage-path and --storage-adv-addr must not be empty")
	case s.RetentionTTL < 0 || s.RetentionRecords < 1:
		return errors.New("--artifact-retention-ttl must not be negative, and --artifact-retention-records at least 1")
	case s.MaxBytes < 1 || s.MaxFiles < 1:
		return errors.New("--artifact-max-size and --artifact-max-files must be positive")
	}
	return nil
}

// Bus says how to reach NATS.
func (c Config) Bus() bus.Options {
	return bus.Options{URL: c.NATSURL, Credentials: c.NATSCreds, Name: Name}
}
