// Package config turns flags and environment into one validated value. Names and defaults are Flux's where Flux has them.
package config

import (
	"errors"
	"time"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/process"
)

// Name of the controller: of its leader election, its client on the bus, and its Events.
const Name = "notify-controller"

// shutdownTimeout is how long sends under way may take to finish; a Pod's grace period must be longer.
const shutdownTimeout = 40 * time.Second

// Config is everything that can be set from outside. Concurrent is how many notifications are sent to one Provider at a time.
type Config struct {
	process.Settings

	// EventsAddr is listened on for events that are posted.
	EventsAddr string
	// RateLimitInterval in which a POST that repeats an object's last event is answered 429; 0 for never.
	RateLimitInterval time.Duration
	// NoCrossNamespaceRefs makes Alerts ignore events from other namespaces.
	NoCrossNamespaceRefs bool
}

// Parse reads flags and environment. The error is one for the user; pflag.ErrHelp when only help was asked for.
func Parse(args []string, getenv func(string) string) (Config, error) {
	c := Config{Settings: process.Settings{Name: Name, Concurrent: 4}}
	if err := c.Parse(args, getenv, c.bind); err != nil {
		return c, err
	}
	if c.RateLimitInterval < 0 {
		return c, errors.New("--rate-limit-interval is negative")
	}
	return c, nil
}

func (c *Config) bind(flags *pflag.FlagSet) {
	flags.StringVar(&c.EventsAddr, "events-addr", ":9090", "The address the event endpoint binds to; Flux's controllers post there.")
	flags.DurationVar(&c.RateLimitInterval, "rate-limit-interval", 5*time.Minute,
		"Interval in which a posted event that repeats the last one of its object is answered 429. Events from the bus are not limited.")
	flags.BoolVar(&c.NoCrossNamespaceRefs, "no-cross-namespace-refs", false, "Ignore events from namespaces other than the Alert's.")
}

// Manager are the options of the manager that a configuration asks for.
func (c *Config) Manager() ctrl.Options {
	grace := shutdownTimeout
	options := c.Settings.Manager()
	options.GracefulShutdownTimeout = &grace
	options.Cache.DefaultLabelSelector = c.Selector
	return options
}
