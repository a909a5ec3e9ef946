// Package impersonate makes API clients that act as a service account: every request about a subject's objects goes
// through one, reads and deletions included.
package impersonate

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/kinds"
)

// maxClients bounds how many users' clients are kept; all are dropped when there are more.
const maxClients = 1000

// Clients makes and keeps one client per user. Fill in Config, Scheme and Mapper; it is safe for concurrent use.
type Clients struct {
	// Config is how the controller itself reaches the API server.
	Config *rest.Config
	Scheme *runtime.Scheme
	// Mapper must find kinds that appear while it lives.
	Mapper meta.RESTMapper

	mu     sync.Mutex
	byUser map[string]Client
}

// Client is how to reach the API server as one user, without a cache.
type Client struct {
	client.Client
	// Secrets reads and writes Secrets as the same user.
	Secrets corev1client.SecretsGetter
}

// For returns the client of a user; of the controller itself for the empty user.
func (c *Clients) For(user string) (Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.byUser[user]; ok {
		return found, nil
	}
	made, err := c.make(user)
	if err != nil {
		return Client{}, fmt.Errorf("make client for user %q: %w", user, err)
	}
	if c.byUser == nil || len(c.byUser) >= maxClients {
		c.byUser = make(map[string]Client)
	}
	c.byUser[user] = made
	return made, nil
}

func (c *Clients) make(user string) (Client, error) {
	config := rest.CopyConfig(c.Config)
	if user != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: user}
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return Client{}, err
	}
	direct, err := c.direct(func() (client.Client, error) {
		return client.New(config, client.Options{HTTPClient: httpClient, Scheme: c.Scheme, Mapper: c.Mapper})
	})
	if err != nil {
		return Client{}, err
	}
	secrets, err := corev1client.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return Client{}, err
	}
	return Client{Client: direct, Secrets: secrets}, nil
}

// direct makes a client that finds kinds again, where the mapper can forget them.
func (c *Clients) direct(make func() (client.Client, error)) (client.Client, error) {
	if mapper, forgets := c.Mapper.(*kinds.Mapper); forgets {
		return kinds.NewClient(mapper, make)
	}
	return make()
}
