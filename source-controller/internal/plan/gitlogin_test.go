package plan_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

func TestProviders(t *testing.T) {
	type s = sourcev1.GitRepositorySpec
	app := &meta.LocalObjectReference{Name: "app"}
	for name, tc := range map[string]struct {
		change func(*s)
		text   string
	}{
		"azure":               {change: func(x *s) { x.Provider = "azure" }},
		"aws as an account":   {change: func(x *s) { x.Provider, x.ServiceAccountName = "aws", "a" }},
		"github":              {change: func(x *s) { x.Provider, x.SecretRef = "github", app }},
		"another":             {change: func(x *s) { x.Provider = "gcp" }, text: `spec.provider "gcp" is unknown`},
		"github, no Secret":   {change: func(x *s) { x.Provider = "github" }, text: "set spec.secretRef"},
		"an account, generic": {change: func(x *s) { x.ServiceAccountName = "a" }, text: "spec.serviceAccountName is for"},
		"an account, github": {change: func(x *s) {
			x.Provider, x.SecretRef, x.ServiceAccountName = "github", app, "a"
		}, text: "spec.serviceAccountName is for"},
		"azure over SSH": {change: func(x *s) {
			x.Provider, x.URL = "azure", "ssh://git@ssh.dev.azure.com/v3/o/p/r"
		}, text: "spec.provider azure logs in over https"},
		"github over SSH": {change: func(x *s) {
			x.Provider, x.SecretRef, x.URL = "github", app, "ssh://git@github.com/o/r"
		}, text: "spec.provider github logs in over https"},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.Validate(spec(tc.change))
			if (p == nil) != (tc.text == "") {
				t.Fatalf("got %+v, want %q", p, tc.text)
			}
			if p != nil && (p.Reason != "InvalidProviderConfiguration" || !p.Terminal || !strings.Contains(p.Message, tc.text)) {
				t.Errorf("got %+v, want %q", p, tc.text)
			}
		})
	}
}

func TestFitsProvider(t *testing.T) {
	app, token := map[string][]byte{"githubAppID": []byte("1\n")}, map[string][]byte{"password": []byte("canary")}
	for name, tc := range map[string]struct {
		provider string
		data     map[string][]byte
		text     string
	}{
		"an App for github":     {"github", app, ""},
		"a token for generic":   {"generic", token, ""},
		"a token for nobody":    {"", token, ""},
		"authorities for azure": {"azure", map[string][]byte{"ca.crt": []byte("canary")}, ""},
		"an App for generic":    {"", app, "is for spec.provider github"},
		"an App for azure":      {"azure", app, "is for spec.provider github"},
		"a token for github":    {"github", token, "holds none (githubAppID)"},
		"nothing for github":    {"github", nil, "holds none (githubAppID)"},
		"white space is no App": {"github", map[string][]byte{"githubAppID": []byte(" \n")}, "holds none (githubAppID)"},
	} {
		p := plan.FitsProvider(tc.provider, "apps/login", tc.data)
		if (p == nil) != (tc.text == "") {
			t.Fatalf("%s: got %+v, want %q", name, p, tc.text)
		}
		if p != nil && (p.Reason != "InvalidProviderConfiguration" || p.Terminal || !strings.Contains(p.Message, tc.text) ||
			!strings.Contains(p.Message, "Secret apps/login") || strings.Contains(p.Message, "canary")) {
			t.Errorf("%s: got %+v, want %q", name, p, tc.text)
		}
	}
}
