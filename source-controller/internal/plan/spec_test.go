package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

func spec(change func(*sourcev1.GitRepositorySpec)) sourcev1.GitRepositorySpec {
	s := sourcev1.GitRepositorySpec{URL: "https://example.com/x.git", Interval: metav1.Duration{Duration: time.Minute}}
	change(&s)
	return s
}

func verify(s *sourcev1.GitRepositorySpec, mode sourcev1.GitVerificationMode, ref *sourcev1.GitRepositoryRef) {
	s.Reference = ref
	s.Verification = &sourcev1.GitRepositoryVerification{Mode: mode, SecretRef: meta.LocalObjectReference{Name: "keys"}}
}

func include(s *sourcev1.GitRepositorySpec, name, from, to string) {
	s.Include = append(s.Include, sourcev1.GitRepositoryInclude{
		GitRepositoryRef: meta.LocalObjectReference{Name: name}, FromPath: from, ToPath: to,
	})
}

func TestValidate(t *testing.T) {
	type s = sourcev1.GitRepositorySpec
	for name, tc := range map[string]struct {
		change func(*s)
		reason string
		text   string
	}{
		"fine":              {change: func(*s) {}},
		"a user name":       {change: func(x *s) { x.URL = "https://ada@example.com/x" }},
		"sparse folders":    {change: func(x *s) { x.SparseCheckout = []string{"./a", "b/c/"} }},
		"generic provider":  {change: func(x *s) { x.Provider = "generic" }},
		"ssh":               {change: func(x *s) { x.URL = "ssh://git@example.com:2222/x" }},
		"ssh, no user":      {change: func(x *s) { x.URL = "ssh://example.com/x" }},
		"ssh, IPv6":         {change: func(x *s) { x.URL = "ssh://git@[::1]:2222/x" }},
		"ssh password":      {change: func(x *s) { x.URL = "ssh://a:canary@h/x" }, reason: "URLInvalid", text: "password"},
		"scp":               {change: func(x *s) { x.URL = "git@example.com:x" }, reason: "URLInvalid", text: "ssh://user@host/path"},
		"scp, no user":      {change: func(x *s) { x.URL = "example.com:x/y" }, reason: "URLInvalid", text: "ssh://user@host/path"},
		"scp, from root":    {change: func(x *s) { x.URL = "canary@example.com:/x" }, reason: "URLInvalid", text: "ssh://user@host/path"},
		"file":              {change: func(x *s) { x.URL = "file:///etc" }, reason: "URLInvalid", text: "scheme"},
		"option":            {change: func(x *s) { x.URL = "--upload-pack=x" }, reason: "URLInvalid", text: "scheme"},
		"no host":           {change: func(x *s) { x.URL = "https:///x" }, reason: "URLInvalid", text: "no host"},
		"password":          {change: func(x *s) { x.URL = "https://a:canary@h/x" }, reason: "URLInvalid", text: "password"},
		"query":             {change: func(x *s) { x.URL = "https://h/x?sig=canary" }, reason: "URLInvalid", text: "query"},
		"submodules":        {change: func(x *s) { x.RecurseSubmodules = true }},
		"signature":         {change: func(x *s) { verify(x, "HEAD", nil) }},
		"as it was written": {change: func(x *s) { verify(x, "head", nil) }},
		"tag":               {change: func(x *s) { verify(x, "Tag", &sourcev1.GitRepositoryRef{Tag: "v1"}) }},
		"version":           {change: func(x *s) { verify(x, "TagAndHEAD", &sourcev1.GitRepositoryRef{SemVer: "*", Branch: "a"}) }},
		"named tag":         {change: func(x *s) { verify(x, "Tag", &sourcev1.GitRepositoryRef{Name: "refs/tags/v1", Branch: "a"}) }},
		"other mode":        {change: func(x *s) { verify(x, "none", nil) }, reason: "InvalidVerificationMode", text: `"none"`},
		"tag of a branch":   {change: func(x *s) { verify(x, "Tag", &sourcev1.GitRepositoryRef{Branch: "v1"}) }, reason: "InvalidVerificationMode", text: "spec.ref.tag"},
		"tag of a commit": {
			change: func(x *s) {
				verify(x, "TagAndHEAD", &sourcev1.GitRepositoryRef{Tag: "v1", Commit: strings.Repeat("ab", 20)})
			},
			reason: "InvalidVerificationMode", text: "spec.ref.tag",
		},
		"tag of a name": {
			change: func(x *s) { verify(x, "Tag", &sourcev1.GitRepositoryRef{Tag: "v1", Name: "refs/heads/main"}) },
			reason: "InvalidVerificationMode", text: "spec.ref.tag",
		},
		"no keys":            {change: func(x *s) { x.Verification = &sourcev1.GitRepositoryVerification{} }, reason: "VerificationError", text: "spec.verify.secretRef.name"},
		"includes":           {change: func(x *s) { include(x, "a", "", "") }},
		"parts":              {change: func(x *s) { include(x, "a", "./deploy", "/base/app") }},
		"include nobody":     {change: func(x *s) { include(x, "", "", "") }, reason: "InvalidSpec", text: "spec.include[0].repository.name"},
		"include outside":    {change: func(x *s) { include(x, "a", "../b", "") }, reason: "InvalidSpec", text: "spec.include[0].fromPath"},
		"include to outside": {change: func(x *s) { include(x, "a", "", "b/../../c") }, reason: "InvalidSpec", text: "spec.include[0].toPath"},
		"include over all":   {change: func(x *s) { include(x, "a", "", "./") }, reason: "InvalidSpec", text: "spec.include[0].toPath"},
		"include too many": {change: func(x *s) {
			for range 65 {
				include(x, "a", "", "")
			}
		}, reason: "InvalidSpec", text: "65"},
		"sparse outside":    {change: func(x *s) { x.SparseCheckout = []string{"a/../../b"} }, reason: "InvalidSpec", text: "sparseCheckout"},
		"sparse everything": {change: func(x *s) { x.SparseCheckout = []string{"."} }, reason: "InvalidSpec", text: "sparseCheckout"},
		"short commit":      {change: func(x *s) { x.Reference = &sourcev1.GitRepositoryRef{Commit: "abc123"} }, reason: "GitOperationFailed", text: "40"},
		"short name":        {change: func(x *s) { x.Reference = &sourcev1.GitRepositoryRef{Name: "main"} }, reason: "GitOperationFailed", text: "refs/heads/main"},
		"no interval":       {change: func(x *s) { x.Interval.Duration = 0 }, reason: "InvalidSpec", text: "spec.interval"},
		"negative timeout":  {change: func(x *s) { x.Timeout = &metav1.Duration{Duration: -1} }, reason: "InvalidSpec", text: "spec.timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.Validate(spec(tc.change))
			if tc.reason == "" {
				if p != nil {
					t.Errorf("refused: %+v", p)
				}
				return
			}
			if p == nil || p.Reason != tc.reason || !p.Terminal || !strings.Contains(p.Message, tc.text) {
				t.Fatalf("got %+v, want %s with %q", p, tc.reason, tc.text)
			}
			if strings.Contains(p.Message, "canary") {
				t.Errorf("the message shows a credential: %s", p.Message)
			}
		})
	}
}

// TestChartAtTheRoot: however a path says it, the root of the source is a place for a chart.
func TestChartAtTheRoot(t *testing.T) {
	for path, served := range map[string]bool{
		".": true, "./": true, "./.": true, "././": true, "/": true, "charts/..": true, "./charts/../": true,
		"charts/web": true, "./charts/web/": true, "/charts/web": true, "..web": true,
		"": false, "..": false, "../": false, "/..": false, "./../web": false, "charts/../../web": false,
	} {
		problem := plan.ValidateChart(sourcev1.HelmChartSpec{
			Chart: path, Interval: metav1.Duration{Duration: time.Minute},
			SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: sourcev1.GitRepositoryKind},
		})
		if (problem == nil) != served {
			t.Errorf("spec.chart %q: problem %+v, want it served: %t", path, problem, served)
		}
	}
}

func FuzzValidateURL(f *testing.F) {
	for _, url := range []string{"https://example.com/x.git", "ssh://a@b/c", "https://a:b@c/d?e#f", "http://[::1]:80/x", "://", "\x00"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		p := plan.Validate(spec(func(s *sourcev1.GitRepositorySpec) { s.URL = url }))
		if p == nil && !strings.HasPrefix(strings.ToLower(url), "http") && !strings.HasPrefix(strings.ToLower(url), "ssh://") {
			t.Errorf("%q passes", url)
		}
	})
}
