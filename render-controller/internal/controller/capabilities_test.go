package controller

import (
	"errors"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
)

// server answers what a test says.
type server struct {
	discovery.DiscoveryInterface
	lists []*metav1.APIResourceList
	err   error
}

func (s *server) ServerVersion() (*version.Info, error) {
	return &version.Info{GitVersion: "v1.36.3"}, nil
}

func (s *server) ServerGroupsAndResources() ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	return nil, s.lists, s.err
}

func serves(groupVersion, kind string) *metav1.APIResourceList {
	return &metav1.APIResourceList{GroupVersion: groupVersion, APIResources: []metav1.APIResource{{Kind: kind}}}
}

func TestCapabilities(t *testing.T) {
	core, apps, metrics := serves("v1", "Secret"), serves("apps/v1", "Deployment"), serves("metrics.k8s.io/v1", "PodMetrics")
	api := &server{lists: []*metav1.APIResourceList{metrics, core}}
	c := newCapabilities(api, capabilitiesAge)
	if c.again(t.Context()) {
		t.Error("it was asked for what nobody wanted to know")
	}
	before := []string{"metrics.k8s.io/v1", "metrics.k8s.io/v1/PodMetrics", "v1", "v1/Secret"}
	if known, err := c.get(); err != nil || known.KubeVersion != "v1.36.3" || !slices.Equal(known.APIVersions, before) {
		t.Errorf("%+v, %v", known, err)
	}
	down := &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{{Group: "metrics.k8s.io", Version: "v1"}: errors.New("down")}}
	for _, step := range []struct {
		reason  string
		lists   []*metav1.APIResourceList
		err     error
		changed bool
		want    []string
	}{
		{"nothing changed", []*metav1.APIResourceList{core, metrics}, nil, false, before},
		{"what does not answer is there all the same", []*metav1.APIResourceList{core}, down, false, before},
		{"nothing can be known", nil, errors.New("down"), false, before},
		{"another group", []*metav1.APIResourceList{core, apps, metrics}, nil, true, append([]string{"apps/v1", "apps/v1/Deployment"}, before...)},
		{"it is gone", []*metav1.APIResourceList{core, metrics}, nil, true, before},
	} {
		api.lists, api.err = step.lists, step.err
		changed := c.again(t.Context())
		if known, err := c.get(); changed != step.changed || err != nil || !slices.Equal(known.APIVersions, step.want) {
			t.Errorf("%s: changed %v, %v, %v", step.reason, changed, known.APIVersions, err)
		}
	}
}
