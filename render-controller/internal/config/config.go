// Package config turns flags and environment into one validated value. Names and defaults are Flux's where Flux has them.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/jitter"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-gitops/sluice/api/bus"
)

// Name of the controller.
const Name = "render-controller"

// DefaultNamespace is where the controller is taken to run when RUNTIME_NAMESPACE is not set.
const DefaultNamespace = "flux-system"

// Config is everything that can be set from outside.
type Config struct {
	// Namespace the controller runs in, from RUNTIME_NAMESPACE.
	Namespace string
	// MetricsAddr, HealthAddr and StorageAddr are listened on.
	MetricsAddr, HealthAddr, StorageAddr string
	// StorageAdvAddr is the host, or the URL, at which others reach StorageAddr.
	StorageAdvAddr string
	// StoragePath holds artifacts and sealed renderings.
	StoragePath string
	// Concurrent is how many subjects of a kind are worked on at a time, and how many workers there are.
	Concurrent int
	// BuildTimeout is the deadline of one rendering.
	BuildTimeout time.Duration
	// BuildMemory is how many resident bytes one worker may hold.
	BuildMemory int64
	// RequeueDependency is how long to wait for an artifact that was not there.
	RequeueDependency time.Duration
	// WatchAllNamespaces, or only Namespace.
	WatchAllNamespaces bool
	// Selector narrows the subjects that are looked at.
	Selector labels.Selector
	// NoCrossNamespaceRefs denies references to sources in other namespaces.
	NoCrossNamespaceRefs bool
	// WarnOnMAC accepts SOPS files whose MAC does not fit.
	WarnOnMAC bool
	// NATSURL of the bus; empty for none.
	NATSURL string
	// NATSCreds as in [bus.Options.Credentials].
	NATSCreds string

	Client         client.Options
	Log            logger.Options
	LeaderElection leaderelection.Options
	Interval       jitter.IntervalOptions
}

// Parse reads flags and environment. The error is one for the user; pflag.ErrHelp when only help was asked for.
func Parse(args []string, getenv func(string) string) (Config, error) {
	c := Config{Namespace: getenv("RUNTIME_NAMESPACE")}
	if c.Namespace == "" {
		c.Namespace = DefaultNamespace
	}
	var raw unparsed
	flags := pflag.NewFlagSet(Name, pflag.ContinueOnError)
	c.bindFlags(flags, &raw)
	c.Client.BindFlags(flags)
	c.Log.BindFlags(flags)
	c.LeaderElection.BindFlags(flags)
	c.Interval.BindFlags(flags)
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return c, c.validate(raw)
}

// unparsed are the values that need more than pflag.
type unparsed struct{ selector, memory, mac string }

func (c *Config) bindFlags(flags *pflag.FlagSet, raw *unparsed) {
	flags.StringVar(&c.MetricsAddr, "metrics-addr", ":8080", "The address the metric endpoint binds to.")
	flags.StringVar(&c.HealthAddr, "health-addr", ":9440", "The address the health endpoint binds to.")
	flags.StringVar(&c.StorageAddr, "storage-addr", ":9090", "The address the sealed renderings are served at.")
	flags.StringVar(&c.StorageAdvAddr, "storage-adv-addr", "",
		"The host or URL under which others reach --storage-addr. Default: render-controller.$(RUNTIME_NAMESPACE).svc.cluster.local.")
	flags.StringVar(&c.StoragePath, "storage-path", "/data", "The directory that holds artifacts and sealed renderings.")
	flags.IntVar(&c.Concurrent, "concurrent", 4, "The number of subjects of a kind that are worked on at a time, and of workers.")
	flags.DurationVar(&c.BuildTimeout, "build-timeout", 2*time.Minute, "The deadline of one rendering; its worker is killed then.")
	flags.StringVar(&raw.memory, "build-memory", "1Gi", "The memory that one worker may hold before it is killed.")
	flags.DurationVar(&c.RequeueDependency, "requeue-dependency", 30*time.Second, "The interval at which a missing artifact is asked for again.")
	flags.BoolVar(&c.WatchAllNamespaces, "watch-all-namespaces", true,
		"Watch subjects in all namespaces; if false, only in RUNTIME_NAMESPACE.")
	flags.StringVar(&raw.selector, "watch-label-selector", "", "Watch only Kustomizations and HelmReleases with matching labels.")
	flags.BoolVar(&c.NoCrossNamespaceRefs, "no-cross-namespace-refs", false, "Deny references to sources in other namespaces.")
	flags.StringVar(&raw.mac, "sops-mac", "enforce", "What becomes of a SOPS file whose MAC does not fit: enforce refuses it, warn accepts it.")
	flags.StringVar(&c.NATSURL, "nats-url", "", "The URL of NATS. Without it notifications are off.")
	flags.StringVar(&c.NATSCreds, "nats-creds", "", "A directory with the files username and password, or a .creds file.")
}

func (c *Config) validate(raw unparsed) error {
	var err error
	if c.Selector, err = labels.Parse(raw.selector); err != nil {
		return fmt.Errorf("--watch-label-selector: %w", err)
	}
	memory, err := resource.ParseQuantity(raw.memory)
	if err != nil {
		return fmt.Errorf("--build-memory: %w", err)
	}
	if c.BuildMemory = memory.Value(); c.BuildMemory < minBuildMemory {
		return fmt.Errorf("--build-memory is %s, want at least %d MiB", raw.memory, minBuildMemory>>20)
	}
	switch raw.mac {
	case "enforce", "warn":
		c.WarnOnMAC = raw.mac == "warn"
	default:
		return fmt.Errorf("--sops-mac is %q, want enforce or warn", raw.mac)
	}
	if c.Concurrent < 1 || c.Concurrent > 100 {
		return fmt.Errorf("--concurrent is %d, want 1 to 100", c.Concurrent)
	}
	if c.BuildTimeout <= 0 || c.RequeueDependency <= 0 {
		return errors.New("--build-timeout and --requeue-dependency have to be more than zero")
	}
	if c.NATSCreds != "" && c.NATSURL == "" {
		return errors.New("--nats-creds is set without --nats-url")
	}
	return c.validateAddress()
}

// minBuildMemory is what a worker needs to start.
const minBuildMemory = 128 << 20

func (c *Config) validateAddress() error {
	if c.StorageAdvAddr == "" {
		c.StorageAdvAddr = Name + "." + c.Namespace + ".svc.cluster.local."
	}
	address := c.StorageAdvAddr
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return fmt.Errorf("--storage-adv-addr is %q, want a host or an HTTP URL", c.StorageAdvAddr)
	}
	if c.StoragePath, err = filepath.Abs(c.StoragePath); err != nil {
		return fmt.Errorf("--storage-path: %w", err)
	}
	return nil
}

// Bus says how to reach NATS.
func (c *Config) Bus() bus.Options {
	return bus.Options{URL: c.NATSURL, Credentials: c.NATSCreds, Name: Name}
}
