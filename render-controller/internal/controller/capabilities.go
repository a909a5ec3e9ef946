package controller

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/render-controller/internal/helm"
)

// capabilitiesAge is how long the API server's version and kinds are taken as read.
const capabilitiesAge = 10 * time.Minute

// capabilities reads what the API server serves, for charts that ask. It is safe for concurrent use.
type capabilities struct {
	discovery discovery.DiscoveryInterface
	clock     clock.PassiveClock

	mu     sync.Mutex
	known  helm.Capabilities
	readAt time.Time
}

// get returns the server's version, and its groups and kinds, sorted.
func (c *capabilities) get() (helm.Capabilities, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known.KubeVersion != "" && c.clock.Since(c.readAt) < capabilitiesAge {
		return c.known, nil
	}
	version, err := c.discovery.ServerVersion()
	if err != nil {
		return helm.Capabilities{}, fmt.Errorf("read the API server's version: %w", err)
	}
	_, lists, err := c.discovery.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return helm.Capabilities{}, fmt.Errorf("read what the API server serves: %w", err)
	}
	var kinds []string
	for _, list := range lists {
		kinds = append(kinds, list.GroupVersion)
		for i := range list.APIResources {
			kinds = append(kinds, list.GroupVersion+"/"+list.APIResources[i].Kind)
		}
	}
	slices.Sort(kinds)
	c.known = helm.Capabilities{KubeVersion: version.GitVersion, APIVersions: slices.Compact(kinds)}
	c.readAt = c.clock.Now()
	return c.known, nil
}
