package process

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// TestRefusedProbesAreForDebugging: a process that is not ready fills no log with it, and says everything else.
func TestRefusedProbesAreForDebugging(t *testing.T) {
	for verbosity, probes := range []bool{false, true} {
		var said []string
		log := funcr.New(func(prefix, args string) { said = append(said, prefix+" "+args) }, funcr.Options{Verbosity: verbosity})
		quiet := quietProbes(log)
		quiet.WithName("controller-runtime").WithName(probeLogger).WithValues("a", 1).Info("healthz check failed")
		quiet.WithName("setup").Info("starts")
		quiet.WithName(probeLogger).Error(errors.New("broken"), "an error is one")
		if got := slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, "check failed") }); got != probes {
			t.Errorf("verbosity %d: a refused probe is logged: %t, want %t", verbosity, got, probes)
		}
		for _, want := range []string{"starts", "an error is one"} {
			if !slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, want) }) {
				t.Errorf("verbosity %d: %q is not logged: %v", verbosity, want, said)
			}
		}
	}
}

// TestRefusedProbe asks controller-runtime's own handler: its logger has the name that is filtered.
func TestRefusedProbe(t *testing.T) {
	var said []string
	quiet := quietProbes(funcr.New(func(_, args string) { said = append(said, args) }, funcr.Options{}))
	ctrl.SetLogger(quiet)
	handler := &healthz.Handler{Checks: map[string]healthz.Checker{"storage": func(*http.Request) error { return errors.New("not served") }}}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if answer.Code != http.StatusInternalServerError || len(said) != 0 {
		t.Errorf("status %d, logged %v", answer.Code, said)
	}
}
