package identity_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
)

// TestMetrics: Flux's, of the cache. What an object has of its own ends with it.
func TestMetrics(t *testing.T) {
	(&gcp{audience: "//iam.googleapis.com/" + pool}).start(t)
	i := issuer(t, nil)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(i.Collectors()...)
	s := account(t, map[string]string{"gcp.auth.fluxcd.io/workload-identity-provider": pool})
	for range 3 {
		if _, err := i.Registry(t.Context(), "gcp", s, gar); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.ReplaceAll(`
# HELP gotk_token_cache_events_total Total number of cache retrieval events for a Gitops Toolkit resource reconciliation.
# TYPE gotk_token_cache_events_total counter
gotk_token_cache_events_total{event_type="cache_hit",kind="OCIRepository",name="podinfo",namespace="NS",operation="reconcile"} 2
gotk_token_cache_events_total{event_type="cache_miss",kind="OCIRepository",name="podinfo",namespace="NS",operation="reconcile"} 2
# HELP gotk_token_cached_items Total number of items in the cache.
# TYPE gotk_token_cached_items gauge
gotk_token_cached_items 2
`, "NS", s.Namespace)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gotk_token_cache_events_total", "gotk_token_cached_items"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"gotk_token_cache_requests_total", "gotk_token_cache_evictions_total"} {
		if n, err := testutil.GatherAndCount(registry, name); n == 0 || err != nil {
			t.Errorf("%s: %d series, %v", name, n, err)
		}
	}
	i.Forget("OCIRepository", s.Namespace, "podinfo")
	if n, err := testutil.GatherAndCount(registry, "gotk_token_cache_events_total"); n != 0 || err != nil {
		t.Errorf("%d series of an object that is gone, %v", n, err)
	}
	issuer(t, func(o *identity.Options) { o.CacheSize = 0 }).Forget("OCIRepository", "team", "app") // keeps nothing, loses nothing
}
