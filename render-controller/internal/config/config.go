// Package config turns flags and environment into one validated value. Names and defaults are Flux's where Flux has them.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/runtime/jitter"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/sluice-gitops/sluice/api/process"
)

// Name of the controller: of its leader election, its client on the bus, and its field ownership.
const Name = "render-controller"

// Config is everything that can be set from outside. Concurrent is also how many workers there are.
type Config struct {
	process.Settings

	// StorageAddr is listened on.
	StorageAddr string
	// StorageAdvAddr is the host, or the URL, at which others reach StorageAddr.
	StorageAdvAddr string
	// StoragePath holds artifacts and sealed renderings.
	StoragePath string
	// BuildTimeout is the deadline of one rendering.
	BuildTimeout time.Duration
	// BuildMemory is how many resident bytes one worker may hold.
	BuildMemory int64
	// RequeueDependency is how long to wait for an artifact that was not there.
	RequeueDependency time.Duration
	// ConfigNamespaces are those whose Secrets and ConfigMaps are watched; empty for all.
	ConfigNamespaces []string
	// NoCrossNamespaceRefs denies references to sources in other namespaces.
	NoCrossNamespaceRefs bool
	// ExternalArtifact serves subjects that are made from an ExternalArtifact; otherwise they are denied.
	ExternalArtifact bool
	// WarnOnMAC accepts SOPS files whose MAC does not fit.
	WarnOnMAC bool
	// Interval spreads repetitions.
	Interval jitter.IntervalOptions
}

// Parse reads flags and environment. The error is one for the user; pflag.ErrHelp when only help was asked for.
func Parse(args []string, getenv func(string) string) (Config, error) {
	c := Config{Settings: process.Settings{Name: Name, Concurrent: 4}}
	var raw unparsed
	err := c.Parse(args, getenv, func(flags *pflag.FlagSet) {
		c.bind(flags, &raw)
		c.Interval.BindFlags(flags)
	})
	if err != nil {
		return c, err
	}
	return c, c.validate(raw)
}

// unparsed are the values that need more than pflag.
type unparsed struct {
	memory, mac string
	gates       map[string]string
}

func (c *Config) bind(flags *pflag.FlagSet, raw *unparsed) {
	flags.StringVar(&c.StorageAddr, "storage-addr", ":9090", "The address the sealed renderings are served at.")
	flags.StringVar(&c.StorageAdvAddr, "storage-adv-addr", Name+"."+c.Namespace+".svc.cluster.local.",
		"The host or URL under which others reach --storage-addr.")
	flags.StringVar(&c.StoragePath, "storage-path", "/data", "The directory that holds artifacts and sealed renderings.")
	flags.DurationVar(&c.BuildTimeout, "build-timeout", 2*time.Minute, "The deadline of one rendering; its worker is killed then.")
	flags.StringVar(&raw.memory, "build-memory", "1Gi", "The memory that one worker may hold before it is killed.")
	flags.DurationVar(&c.RequeueDependency, "requeue-dependency", 30*time.Second, "The interval at which a missing artifact is asked for again.")
	flags.StringSliceVar(&c.ConfigNamespaces, "config-namespaces", nil,
		"The namespaces whose Secrets and ConfigMaps are watched, where the controller may read no others.")
	flags.BoolVar(&c.NoCrossNamespaceRefs, "no-cross-namespace-refs", false, "Deny references to sources in other namespaces.")
	flags.StringToStringVar(&raw.gates, "feature-gates", nil,
		"Flux's gates, as name=true or name=false: "+gateExternalArtifact+" (true when not named) serves ExternalArtifacts.")
	flags.StringVar(&raw.mac, "sops-mac", "enforce", "What becomes of a SOPS file whose MAC does not fit: enforce refuses it, warn accepts it.")
}

func (c *Config) validate(raw unparsed) error {
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
	if c.ExternalArtifact, err = externalArtifact(raw.gates); err != nil {
		return err
	}
	if c.BuildTimeout <= 0 || c.RequeueDependency <= 0 {
		return errors.New("--build-timeout and --requeue-dependency have to be more than zero")
	}
	if !c.WatchAllNamespaces && len(c.ConfigNamespaces) > 0 {
		return errors.New("--config-namespaces is for a controller that watches all namespaces")
	}
	return c.validateAddress()
}

// gateExternalArtifact is the one of Flux's gates that decides anything here.
const gateExternalArtifact = "ExternalArtifact"

// externalArtifact reads the gates. Another one is refused: whoever sets it would take it to be in force.
func externalArtifact(gates map[string]string) (bool, error) {
	served := true
	for name, value := range gates {
		enabled, err := strconv.ParseBool(value)
		switch {
		case name != gateExternalArtifact:
			return false, fmt.Errorf("--feature-gates: there is no gate %s here, only %s", name, gateExternalArtifact)
		case err != nil:
			return false, fmt.Errorf("--feature-gates: %s is %q, want true or false", name, value)
		}
		served = enabled
	}
	return served, nil
}

// minBuildMemory is what a worker needs to start.
const minBuildMemory = 128 << 20

func (c *Config) validateAddress() error {
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
