package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"k8s.io/client-go/discovery"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/sluice-gitops/sluice/render-controller/internal/helm"
)

// capabilitiesAge is how old what is known of the API server may be: a chart that is released after another one, whose
// kinds it uses if they are there, has to see them.
const capabilitiesAge = 10 * time.Second

// capabilities knows what the API server serves, for charts that ask. It is safe for concurrent use.
type capabilities struct {
	discovery discovery.DiscoveryInterface
	// every is how often Start asks again.
	every time.Duration
	// changed is sent to, by Start, when the answer is another one.
	changed chan event.GenericEvent

	mu    sync.Mutex
	known helm.Capabilities
}

func newCapabilities(discovered discovery.DiscoveryInterface, every time.Duration) *capabilities {
	return &capabilities{discovery: discovered, every: every, changed: make(chan event.GenericEvent)}
}

// get returns the server's version, and its groups and kinds, sorted.
func (c *capabilities) get() (helm.Capabilities, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known.KubeVersion == "" {
		if _, err := c.read(); err != nil {
			return helm.Capabilities{}, err
		}
	}
	return c.known, nil
}

// Start asks again and again, once somebody wanted to know, until ctx ends.
func (c *capabilities) Start(ctx context.Context) error {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !c.again(ctx) {
			continue
		}
		select {
		case c.changed <- event.GenericEvent{Object: &helmv2.HelmRelease{}}:
		case <-ctx.Done():
		}
	}
}

// again says whether the answer is another one than before.
func (c *capabilities) again(ctx context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known.KubeVersion == "" {
		return false
	}
	changed, err := c.read()
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "charts are rendered for what the API server served before")
	}
	return changed
}

// read is called with the lock held.
func (c *capabilities) read() (changed bool, err error) {
	version, err := c.discovery.ServerVersion()
	if err != nil {
		return false, fmt.Errorf("read the API server's version: %w", err)
	}
	_, lists, err := c.discovery.ServerGroupsAndResources()
	var partly *discovery.ErrGroupDiscoveryFailed
	if err != nil && !errors.As(err, &partly) {
		return false, fmt.Errorf("read what the API server serves: %w", err)
	}
	var kinds []string
	for _, list := range lists {
		kinds = append(kinds, list.GroupVersion)
		for i := range list.APIResources {
			kinds = append(kinds, list.GroupVersion+"/"+list.APIResources[i].Kind)
		}
	}
	if partly != nil {
		kinds = append(kinds, c.of(partly)...)
	}
	slices.Sort(kinds)
	kinds = slices.Compact(kinds)
	changed = c.known.KubeVersion != version.GitVersion || !slices.Equal(c.known.APIVersions, kinds)
	c.known = helm.Capabilities{KubeVersion: version.GitVersion, APIVersions: kinds}
	return changed, nil
}

// of are the groups and kinds, as they were, whose own API server does not answer now.
func (c *capabilities) of(failed *discovery.ErrGroupDiscoveryFailed) []string {
	var kinds []string
	for _, known := range c.known.APIVersions {
		for version := range failed.Groups {
			if known == version.String() || strings.HasPrefix(known, version.String()+"/") {
				kinds = append(kinds, known)
			}
		}
	}
	return kinds
}
