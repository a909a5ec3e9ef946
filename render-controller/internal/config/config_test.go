package config

import (
	"strings"
	"testing"
	"time"
)

func none(string) string { return "" }

func TestDefaults(t *testing.T) {
	c, err := Parse(nil, none)
	if err != nil {
		t.Fatal(err)
	}
	if c.Namespace != "flux-system" || c.Concurrent != 4 || c.StoragePath != "/data" || c.BuildMemory != 1<<30 ||
		c.RequeueDependency != 30*time.Second || !c.WatchAllNamespaces || c.WarnOnMAC || !c.ExternalArtifact ||
		c.StorageAdvAddr != "render-controller.flux-system.svc.cluster.local." {
		t.Errorf("defaults %+v", c)
	}
}

func TestFeatureGates(t *testing.T) {
	for gates, want := range map[string]bool{"ExternalArtifact=true": true, "ExternalArtifact=false": false} {
		if c, err := Parse([]string{"--feature-gates=" + gates}, none); err != nil || c.ExternalArtifact != want {
			t.Errorf("%s: %t, %v", gates, c.ExternalArtifact, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"memory":  {"it is no quantity", []string{"--build-memory=much"}, "--build-memory"},
		"little":  {"no worker could start", []string{"--build-memory=1Mi"}, "--build-memory"},
		"mac":     {"it is neither", []string{"--sops-mac=ignore"}, "--sops-mac"},
		"workers": {"nothing would be done", []string{"--concurrent=0"}, "--concurrent"},
		"timeout": {"nothing could end in time", []string{"--build-timeout=0s"}, "--build-timeout"},
		"both":    {"one namespace is watched, or several are", []string{"--watch-all-namespaces=false", "--config-namespaces=a"}, "--config-namespaces"},
		"gate":    {"it would be in force nowhere", []string{"--feature-gates=ExternalArtifact=true,DirectSourceFetch=true"}, "DirectSourceFetch"},
		"gates":   {"it is neither", []string{"--feature-gates=ExternalArtifact=maybe"}, "ExternalArtifact is \"maybe\""},
		"address": {"it is no host", []string{"--storage-adv-addr=ftp://x"}, "--storage-adv-addr"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(c.args, none); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want one about %s", c.reason, err, c.want)
			}
		})
	}
}
