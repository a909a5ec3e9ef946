package config

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
)

// maxTokenTTL is how long Flux keeps a token at most.
const maxTokenTTL = time.Hour

// Identity says how sources log in to clouds.
type Identity struct {
	// ObjectLevel lets objects name a ServiceAccount; DefaultServiceAccount is the one of those that name none.
	ObjectLevel           bool
	DefaultServiceAccount string
	// CacheSize is how many tokens are kept, CacheTTL how long each at most.
	CacheSize int
	CacheTTL  time.Duration

	gates map[string]string
}

func (i *Identity) bind(flags *pflag.FlagSet) {
	flags.StringToStringVar(&i.gates, "feature-gates", nil,
		"What is off unless it is asked for: "+identity.GateObjectLevel+"=true lets objects log in to a cloud as a ServiceAccount of their "+
			"namespace. "+gateCacheSecrets+" is Flux's and has no effect: Secrets are never cached.")
	flags.StringVar(&i.DefaultServiceAccount, "default-service-account", "",
		"The ServiceAccount that objects log in to a cloud as when they name none; empty: the controller's own identity.")
	flags.IntVar(&i.CacheSize, "token-cache-max-size", 100, "How many tokens of clouds are kept; 0: none.")
	flags.DurationVar(&i.CacheTTL, "token-cache-max-duration", maxTokenTTL,
		"How long a token is kept at most, which is never to its end; 0: not at all, and not more than 1h.")
}

// gateCacheSecrets is a gate of Flux that changes nothing here.
const gateCacheSecrets = "CacheSecretsAndConfigMaps"

// validate reads the gates, which are names and booleans.
func (i *Identity) validate() error {
	for name, text := range i.gates {
		on, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("--feature-gates: %s is %q, want true or false", name, text)
		}
		switch name {
		case identity.GateObjectLevel:
			i.ObjectLevel = on
		case gateCacheSecrets:
		default:
			return fmt.Errorf("--feature-gates: there is no %s; there are %s and %s", name, identity.GateObjectLevel, gateCacheSecrets)
		}
	}
	switch {
	case i.DefaultServiceAccount != "" && !i.ObjectLevel:
		return errors.New("--default-service-account needs --feature-gates=" + identity.GateObjectLevel + "=true")
	case i.CacheSize < 0 || i.CacheTTL < 0:
		return errors.New("--token-cache-max-size and --token-cache-max-duration must not be negative")
	}
	i.CacheTTL = min(i.CacheTTL, maxTokenTTL)
	return nil
}
