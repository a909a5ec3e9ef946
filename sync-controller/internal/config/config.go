// Package config turns flags and environment into one validated value. Names and defaults are Flux's where Flux has them.
package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-gitops/sluice/api/process"
)

// Name of the controller: of its leader election, its client on the bus, and its field ownership.
const Name = "sync-controller"

// Config is everything that can be set from outside.
type Config struct {
	process.Settings

	// StoragePath is the folder in which sealed contents and progress are kept.
	StoragePath string
	// NoCrossNamespaceRefs denies references to other namespaces.
	NoCrossNamespaceRefs bool
	// DefaultServiceAccount is impersonated for subjects that name none; empty for the controller itself.
	DefaultServiceAccount string
	// AllowFlux works beside Flux's own controllers.
	AllowFlux bool
	// RequeueDependency is how soon an unready dependency is looked at again when no watch reports a change.
	RequeueDependency time.Duration
	// Jitter lengthens intervals by up to so many percent.
	Jitter uint8
	// MinRetryDelay and MaxRetryDelay bound the delay after unexpected errors.
	MinRetryDelay, MaxRetryDelay time.Duration
}

// Parse reads flags and environment. The error is one for the user; pflag.ErrHelp when only help was asked for.
func Parse(args []string, getenv func(string) string) (Config, error) {
	c := Config{Settings: process.Settings{Name: Name, Concurrent: 4}}
	if err := c.Parse(args, getenv, c.bind); err != nil {
		return c, err
	}
	return c, c.validate()
}

func (c *Config) bind(flags *pflag.FlagSet) {
	flags.StringVar(&c.StoragePath, "storage-path", "/data", "The folder in which sealed contents and progress are kept.")
	flags.BoolVar(&c.NoCrossNamespaceRefs, "no-cross-namespace-refs", false, "Deny references to other namespaces.")
	flags.StringVar(&c.DefaultServiceAccount, "default-service-account", "", "The service account to impersonate for objects that name none.")
	flags.BoolVar(&c.AllowFlux, "allow-flux", false, "Work even though Flux's own controllers run in the cluster or are in a repository.")
	flags.DurationVar(&c.RequeueDependency, "requeue-dependency", 30*time.Second,
		"How soon an unready dependency is looked at again when no watch reports a change.")
	flags.Uint8Var(&c.Jitter, "interval-jitter-percentage", 5, "By up to how many percent intervals are longer than they say, so that not all end at once.")
	flags.DurationVar(&c.MinRetryDelay, "min-retry-delay", 750*time.Millisecond, "The shortest delay after an unexpected error.")
	flags.DurationVar(&c.MaxRetryDelay, "max-retry-delay", 15*time.Minute, "The longest delay after unexpected errors.")
}

func (c *Config) validate() error {
	switch {
	case c.StoragePath == "":
		return errors.New("--storage-path must not be empty")
	case c.RequeueDependency <= 0:
		return errors.New("--requeue-dependency must be positive")
	case c.Jitter >= 100:
		return fmt.Errorf("--interval-jitter-percentage is %d, want less than 100", c.Jitter)
	case c.MinRetryDelay <= 0 || c.MaxRetryDelay < c.MinRetryDelay:
		return errors.New("--min-retry-delay must be positive, and --max-retry-delay not less")
	}
	return nil
}
