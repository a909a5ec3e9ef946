package process

import (
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-gitops/sluice/api/bus/jetstream"
)

// DefaultNamespace is where a controller is taken to run when RUNTIME_NAMESPACE is not set.
const DefaultNamespace = "flux-system"

const maxConcurrent = 1000

// Settings are the flags and the environment that every controller has; each embeds them in its own configuration. Names and
// defaults are Flux's where Flux has them. Set Name and Concurrent, and call [Settings.Parse].
type Settings struct {
	// Name of the controller: of its leader election, its client on the bus, and its field ownership.
	Name string
	// Concurrent is how many objects of a kind are worked on at a time. What it is before Parse is the default.
	Concurrent int

	// Namespace the controller runs in, from RUNTIME_NAMESPACE.
	Namespace string
	// MetricsAddr and HealthAddr are listened on; "0" is for nothing.
	MetricsAddr, HealthAddr string
	// WatchAllNamespaces, or only Namespace.
	WatchAllNamespaces bool
	// Selector narrows the objects that are looked at. It matches everything when it is not set.
	Selector labels.Selector
	// NATSURL of the bus; empty for none. NATSCreds as in [jetstream.Options.Credentials].
	NATSURL, NATSCreds string

	Client         client.Options
	Log            logger.Options
	LeaderElection leaderelection.Options
}

// Parse reads the environment and the arguments. own adds the controller's own flags; by then Name and Namespace are known, for
// their defaults. The error is one for the user; pflag.ErrHelp when only help was asked for.
func (s *Settings) Parse(args []string, getenv func(string) string, own func(*pflag.FlagSet)) error {
	if s.Namespace = getenv("RUNTIME_NAMESPACE"); s.Namespace == "" {
		s.Namespace = DefaultNamespace
	}
	flags := pflag.NewFlagSet(s.Name, pflag.ContinueOnError)
	var selector string
	flags.StringVar(&selector, "watch-label-selector", "", "Look only at objects with matching labels.")
	s.bind(flags)
	own(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return s.validate(selector)
}

func (s *Settings) bind(flags *pflag.FlagSet) {
	flags.StringVar(&s.MetricsAddr, "metrics-addr", ":8080", "The address the metric endpoint binds to.")
	flags.StringVar(&s.HealthAddr, "health-addr", ":9440", "The address the health endpoint binds to.")
	flags.IntVar(&s.Concurrent, "concurrent", s.Concurrent, "How much is worked on at a time: see the controller's README.")
	flags.BoolVar(&s.WatchAllNamespaces, "watch-all-namespaces", true, "Watch all namespaces; if false, only RUNTIME_NAMESPACE.")
	flags.StringVar(&s.NATSURL, "nats-url", "", "The URL of NATS. Without it notifications are off.")
	flags.StringVar(&s.NATSCreds, "nats-creds", "", "A directory with the files username and password, or a .creds file.")
	s.Client.BindFlags(flags)
	s.Log.BindFlags(flags)
	s.LeaderElection.BindFlags(flags)
}

func (s *Settings) validate(selector string) error {
	var err error
	if s.Selector, err = labels.Parse(selector); err != nil {
		return fmt.Errorf("--watch-label-selector: %w", err)
	}
	if s.Concurrent < 1 || s.Concurrent > maxConcurrent {
		return fmt.Errorf("--concurrent is %d, want 1 to %d", s.Concurrent, maxConcurrent)
	}
	if s.NATSCreds != "" && s.NATSURL == "" {
		return errors.New("--nats-creds is set without --nats-url")
	}
	return nil
}

// Bus says how to reach NATS.
func (s *Settings) Bus() jetstream.Options {
	return jetstream.Options{URL: s.NATSURL, Credentials: s.NATSCreds, Name: s.Name}
}
