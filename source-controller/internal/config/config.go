// Package config turns flags and environment into one validated value. Names and defaults are Flux's where Flux has them.
package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/source-controller/internal/ssh"
)

// Name of the controller: of its leader election, its client on the bus, and its field ownership.
const Name = "source-controller"

// Config is everything that can be set from outside.
type Config struct {
	process.Settings
	Storage  Storage
	Identity Identity
	Helm     Helm
	// SSH are the algorithms that may be agreed on with SSH servers.
	SSH ssh.Algorithms

	// RequeueDependency is when a chart whose source has no artifact yet is looked at again.
	RequeueDependency time.Duration
	// MinRetryDelay and MaxRetryDelay bound the delay after failures.
	MinRetryDelay, MaxRetryDelay time.Duration
	// Jitter is by how many percent intervals vary.
	Jitter uint8
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
	c := Config{Settings: process.Settings{Name: Name, Concurrent: 2}}
	err := c.Parse(args, getenv, func(flags *pflag.FlagSet) {
		c.bind(flags)
		c.Storage.bind(flags, c.Namespace, getenv)
		c.Identity.bind(flags)
		c.Helm.bind(flags)
	})
	if err != nil {
		return c, err
	}
	return c, c.validate()
}

func (c *Config) bind(flags *pflag.FlagSet) {
	flags.DurationVar(&c.RequeueDependency, "requeue-dependency", 30*time.Second,
		"When a chart whose source has no artifact yet is looked at again.")
	flags.DurationVar(&c.MinRetryDelay, "min-retry-delay", 750*time.Millisecond, "The delay after a first failure.")
	flags.DurationVar(&c.MaxRetryDelay, "max-retry-delay", 15*time.Minute,
		"The longest delay after failures; an object never waits longer than its interval.")
	flags.StringSliceVar(&c.SSH.KeyExchanges, "ssh-kex-algos", nil,
		"The key exchanges that may be agreed on with SSH servers, the preferred ones first; empty for those that are safe.")
	flags.StringSliceVar(&c.SSH.HostKeys, "ssh-hostkey-algos", nil,
		"The algorithms of host keys that are taken from SSH servers, the preferred ones first; empty for those in known_hosts.")
	flags.Uint8Var(&c.Jitter, "interval-jitter-percentage", 5, "By how many percent intervals vary, up and down.")
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
	switch {
	case c.Jitter >= 100:
		return fmt.Errorf("--interval-jitter-percentage is %d, want less than 100", c.Jitter)
	case c.MinRetryDelay <= 0 || c.MaxRetryDelay < c.MinRetryDelay:
		return errors.New("--min-retry-delay must be positive, and --max-retry-delay not less")
	case c.RequeueDependency <= 0:
		return errors.New("--requeue-dependency must be positive")
	}
	if err := errors.Join(c.Identity.validate(), c.SSH.Validate()); err != nil {
		return err
	}
	if err := c.Helm.validate(); err != nil {
		return err
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
