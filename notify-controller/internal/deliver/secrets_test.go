package deliver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-gitops/sluice/api/bus/memory"
	"github.com/sluice-gitops/sluice/notify-controller/internal/provider"
)

// TestNoCredentialShows drives every kind of failure with credentials in each place that holds one, and looks for them in
// logs, reports, dead letters and metrics.
func TestNoCredentialShows(t *testing.T) {
	t.Parallel()
	echo := newSink(t) // says what it was sent
	echo.does(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, r.URL.String()+" "+r.Header.Get("Authorization")+" "+r.Header.Get("X-Key"))
	})
	busy := newSink(t)
	busy.does(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", r.Header.Get("X-Key"))
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, r.URL.String())
	})
	away := newSink(t)
	away.does(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://localhost:1"+r.URL.String(), http.StatusTemporaryRedirect)
	})
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	user := func(url string) string { return strings.Replace(url, "://", "://user-canary:password-canary@", 1) }
	const path = "/services/path-canary?sig=query-canary"
	addresses := map[string]string{
		"echo": user(echo.URL) + path, "busy": user(busy.URL) + path, "away": user(away.URL) + path,
		"untrusted": user(untrusted.URL) + path, "closed": "http://user-canary:password-canary@127.0.0.1:1" + path,
		"unknown": "https://host-canary.invalid" + path, "no-port": "http://127.0.0.1:99999" + path, "broken": "http://canary:%zz",
	}
	secret := map[string][]byte{"token": []byte("token-canary"), "headers": []byte("X-Key: header-canary")}

	apps := newCluster()
	apps.secrets = map[string]provider.Secrets{}
	for name, address := range addresses {
		for _, kind := range []string{"slack", "pagerduty", "generic", "generic-hmac"} {
			apps.secrets[name+"-"+kind] = provider.Secrets{Auth: secret}
			apps.provider(name+"-"+kind, notificationv1beta3.ProviderSpec{Type: kind, Address: address, Channel: "channel-canary"})
			apps.alert(name+"-"+kind, name+"-"+kind)
		}
	}
	b := memory.New()
	t.Cleanup(b.Close)
	r := start(t, b, apps)
	letters := r.deadLetters()
	r.announce("e1", failure("podinfo"))
	// three kinds of target end as dead letters at once, the other five are tried again
	for range 3 * 4 {
		letter := receive(t, letters)
		noSecret(t, letter.Header["Sluice-Reason"], string(letter.Data))
	}
	eventually(t, "an attempt at each of the others", func() bool {
		return strings.Count(strings.Join(r.logged.all(), "\n"), "failed, tried again in") >= 5*4
	})
	r.stop()
	noSecret(t, r.logged.all()...)
	noSecret(t, r.reports.all()...)
	registry := prometheus.NewPedanticRegistry()
	for _, collector := range r.metrics.Collectors() {
		registry.MustRegister(collector)
	}
	families, err := registry.Gather()
	if err != nil || len(families) == 0 {
		t.Fatal(err, len(families))
	}
	for _, family := range families {
		noSecret(t, family.String())
	}
}
