// Package config reads sync-controller's flags and environment into one validated value. Flags that Flux has are named as
// there.
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
)

// Defaults that Flux has no flag for.
const (
	defaultNamespace = "flux-system"
	namespaceEnv     = "RUNTIME_NAMESPACE"
	maxConcurrent    = 1000
	maxJitter        = 100
)

// Config is everything that can be set from outside.
type Config struct {
	// Namespace the controller runs in.
	Namespace string

	MetricsAddr, HealthAddr string
	StoragePath             string
	NATSURL, NATSCreds      string

	// Concurrent subjects of one kind.
	Concurrent int
	// AllNamespaces or only Namespace.
	AllNamespaces bool
	// Selector narrows to subjects with certain labels.
	Selector labels.Selector

	NoCrossNamespaceRefs  bool
	DefaultServiceAccount string
	AllowFlux             bool
	RequeueDependency     time.Duration
	// Jitter spreads intervals by so many percent.
	Jitter uint8

	MinRetryDelay, MaxRetryDelay time.Duration

	Log            logger.Options
	Client         client.Options
	LeaderElection leaderelection.Options
}

// Parse reads arguments, without the program's name, and the environment (os.Getenv).
func Parse(args []string, env func(string) string) (Config, error) {
	c := Config{Namespace: env(namespaceEnv)}
	if c.Namespace == "" {
		c.Namespace = defaultNamespace
	}
	var selector string
	fs := pflag.NewFlagSet("sync-controller", pflag.ContinueOnError)
	fs.StringVar(&c.MetricsAddr, "metrics-addr", ":8080", "The address the metric endpoint binds to.")
	fs.StringVar(&c.HealthAddr, "health-addr", ":9440", "The address the health endpoint binds to.")
	fs.StringVar(&c.StoragePath, "storage-path", "/data", "The folder in which sealed contents and progress are kept.")
	fs.StringVar(&c.NATSURL, "nats-url", "", "The NATS server that events go to; without it notifications are off.")
	fs.StringVar(&c.NATSCreds, "nats-creds", "", "A folder with the files username and password, or a .creds file.")
	fs.IntVar(&c.Concurrent, "concurrent", 4, "How many objects of each kind are reconciled at once.")
	fs.BoolVar(&c.AllNamespaces, "watch-all-namespaces", true, "Watch all namespaces, or only the controller's own.")
	fs.StringVar(&selector, "watch-label-selector", "", "Reconcile only objects with these labels.")
	fs.BoolVar(&c.NoCrossNamespaceRefs, "no-cross-namespace-refs", false, "Refuse references to other namespaces.")
	fs.StringVar(&c.DefaultServiceAccount, "default-service-account", "", "The service account to impersonate for objects that name none.")
	fs.BoolVar(&c.AllowFlux, "allow-flux", false, "Work even though Flux's own controllers run in the cluster or are in a repository.")
	fs.DurationVar(&c.RequeueDependency, "requeue-dependency", 30*time.Second, "How soon an unready dependency is looked at again when no watch reports a change.")
	fs.Uint8Var(&c.Jitter, "interval-jitter-percentage", 5, "How far intervals are spread, in percent.")
	fs.DurationVar(&c.MinRetryDelay, "min-retry-delay", 750*time.Millisecond, "The shortest delay after an unexpected error.")
	fs.DurationVar(&c.MaxRetryDelay, "max-retry-delay", 15*time.Minute, "The longest delay after unexpected errors.")
	c.Log.BindFlags(fs)
	c.Client.BindFlags(fs)
	c.LeaderElection.BindFlags(fs)
	if err := fs.Parse(args); err != nil {
		return Config{}, err
	}
	return c, c.validate(selector)
}

func (c *Config) validate(selector string) error {
	var err error
	c.Selector, err = labels.Parse(selector)
	if err != nil {
		return fmt.Errorf("--watch-label-selector: %w", err)
	}
	for _, problem := range []struct {
		found bool
		text  string
	}{
		{c.Concurrent < 1 || c.Concurrent > maxConcurrent, "--concurrent must be between 1 and 1000"},
		{c.StoragePath == "", "--storage-path must not be empty"},
		{c.RequeueDependency <= 0, "--requeue-dependency must be positive"},
		{c.Jitter >= maxJitter, "--interval-jitter-percentage must be below 100"},
		{c.MinRetryDelay <= 0 || c.MaxRetryDelay < c.MinRetryDelay, "--min-retry-delay must be positive and at most --max-retry-delay"},
	} {
		if problem.found {
			return errors.New(problem.text)
		}
	}
	return nil
}
