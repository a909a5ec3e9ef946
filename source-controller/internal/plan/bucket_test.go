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

func bucketSpec(change func(*sourcev1.BucketSpec)) sourcev1.BucketSpec {
	s := sourcev1.BucketSpec{
		Provider: "generic", BucketName: "fleet", Endpoint: "minio.example.com:9000", Interval: metav1.Duration{Duration: time.Minute},
	}
	change(&s)
	return s
}

func TestValidateBucket(t *testing.T) {
	t.Parallel()
	type s = sourcev1.BucketSpec
	sts := func(bucket, provider, endpoint string) func(*s) {
		return func(x *s) {
			x.Provider, x.STS = bucket, &sourcev1.BucketSTSSpec{Provider: provider, Endpoint: endpoint}
		}
	}
	ref := &meta.LocalObjectReference{Name: "a"}
	for name, tc := range map[string]struct {
		change func(*s)
		reason string
		text   string
	}{
		"generic":         {change: func(*s) {}},
		"no provider":     {change: func(x *s) { x.Provider = "" }},
		"azure":           {change: func(x *s) { x.Provider, x.Endpoint = "azure", "https://account.blob.core.windows.net/?sv=1" }},
		"google by name":  {change: func(x *s) { x.Provider, x.Endpoint = "gcp", "storage.googleapis.com" }},
		"google as a URL": {change: func(x *s) { x.Provider, x.Endpoint = "gcp", "https://storage.googleapis.com/" }},
		"ldap":            {change: sts("generic", "ldap", "https://sts.example.com:9000/path")},
		"aws":             {change: sts("aws", "aws", "https://sts.eu-west-1.amazonaws.com")},
		"an account": {change: func(x *s) {
			x.Provider, x.Endpoint, x.ServiceAccountName = "aws", "s3.amazonaws.com", "a"
		}},
		"no interval":      {change: func(x *s) { x.Interval.Duration = 0 }, reason: "InvalidSpec", text: "spec.interval"},
		"negative timeout": {change: func(x *s) { x.Timeout = &metav1.Duration{Duration: -1} }, reason: "InvalidSpec", text: "spec.timeout"},
		"no name":          {change: func(x *s) { x.BucketName = "" }, reason: "InvalidSpec", text: "spec.bucketName"},
		"a path":           {change: func(x *s) { x.BucketName = "a/../b" }, reason: "InvalidSpec", text: "spec.bucketName"},
		"generic account":  {change: func(x *s) { x.ServiceAccountName = "a" }, reason: "InvalidSpec", text: "spec.serviceAccountName"},
		"both": {change: func(x *s) {
			x.Provider, x.ServiceAccountName, x.SecretRef = "aws", "a", ref
		}, reason: "InvalidSpec", text: "remove the other"},
		"google sts":      {change: sts("gcp", "aws", "https://x"), reason: "InvalidSTSConfiguration", text: "has no such service"},
		"azure sts":       {change: sts("azure", "ldap", "https://x"), reason: "InvalidSTSConfiguration", text: "has no such service"},
		"generic aws sts": {change: sts("generic", "aws", "https://x"), reason: "InvalidSTSConfiguration", text: `use "ldap"`},
		"aws ldap sts":    {change: sts("aws", "ldap", "https://x"), reason: "InvalidSTSConfiguration", text: `use "aws"`},
		"aws sts secret": {change: func(x *s) {
			sts("aws", "aws", "https://x")(x)
			x.STS.SecretRef = ref
		}, reason: "InvalidSTSConfiguration", text: "spec.sts.secretRef"},
		"aws sts authority": {change: func(x *s) {
			sts("aws", "aws", "https://x")(x)
			x.STS.CertSecretRef = ref
		}, reason: "InvalidSTSConfiguration", text: "spec.sts.certSecretRef"},
		"sts without a host": {change: sts("generic", "ldap", "https:///x"), reason: "URLInvalid", text: "spec.sts.endpoint"},
		"sts with a user":    {change: sts("generic", "ldap", "https://a:canary@x"), reason: "URLInvalid", text: "without a user"},
		"scheme":             {change: func(x *s) { x.Endpoint = "https://minio.example.com" }, reason: "URLInvalid", text: "the host alone"},
		"no host":            {change: func(x *s) { x.Endpoint = "" }, reason: "URLInvalid", text: "minio.example.com:9000"},
		"spaces":             {change: func(x *s) { x.Endpoint = "a b" }, reason: "URLInvalid", text: "not the address of a storage"},
		"path":               {change: func(x *s) { x.Endpoint = "minio.example.com/canary" }, reason: "URLInvalid", text: "more than a host"},
		"query":              {change: func(x *s) { x.Endpoint = "minio.example.com?sig=canary" }, reason: "URLInvalid", text: "more than a host"},
		"user":               {change: func(x *s) { x.Endpoint = "a:canary@minio.example.com" }, reason: "URLInvalid", text: "move them to the Secret"},
		"another scheme":     {change: func(x *s) { x.Provider, x.Endpoint = "azure", "ftp://a.blob.core.windows.net" }, reason: "URLInvalid", text: "https://account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plan.ValidateBucket(bucketSpec(tc.change))
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

// TestS25TokensOfThisControllers: whoever may write a Bucket must not get a token that opens everybody's.
func TestS25TokensOfThisControllers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		provider, endpoint string
		may                bool
	}{
		{"gcp", "storage.googleapis.com", true},
		{"gcp", "https://storage.p.googleapis.com", true},
		{"gcp", "http://storage.googleapis.com", false},
		{"gcp", "googleapis.com.evil.example", false},
		{"gcp", "evilgoogleapis.com", false},
		{"azure", "https://account.blob.core.windows.net", true},
		{"azure", "https://ACCOUNT.BLOB.core.windows.net:443", true},
		{"azure", "https://account.z1.blob.storage.azure.net", true},
		{"azure", "http://account.blob.core.windows.net", false},
		{"azure", "https://account.blob.core.windows.net.evil.example", false},
		{"azure", "https://evil.example/.blob.core.windows.net", false},
	} {
		endpoint, p := plan.BucketEndpoint(bucketSpec(func(s *sourcev1.BucketSpec) { s.Provider, s.Endpoint = tc.provider, tc.endpoint }))
		if p != nil {
			t.Fatalf("%s: %s", tc.endpoint, p.Message)
		}
		if p := plan.MayHaveToken(tc.provider, endpoint); (p == nil) != tc.may || p != nil && (!p.Terminal || p.Reason != "AuthenticationFailed") {
			t.Errorf("%s at %s: %+v, may it: %t", tc.provider, tc.endpoint, p, tc.may)
		}
	}
}

func TestBucketMessages(t *testing.T) {
	t.Parallel()
	plain := bucketSpec(func(*sourcev1.BucketSpec) {})
	prefixed := bucketSpec(func(s *sourcev1.BucketSpec) { s.Prefix = "a\n/" })
	for _, tc := range []struct{ got, want string }{
		{plan.BucketStored(plain, "sha256:1", 2), "stored artifact: revision 'sha256:1'"},
		{plan.BucketStored(plain, "sha256:1", 0), "stored artifact: revision 'sha256:1' (it is empty: the bucket has no object that is not ignored)"},
		{plan.BucketStored(prefixed, "sha256:1", 0),
			`stored artifact: revision 'sha256:1' (it is empty: the bucket has no object that is not ignored and starts with spec.prefix "a\n/")`},
		{plan.BucketFetched(plain, 2), "stored artifact with 2 fetched files from 'fleet' bucket"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s\nwant %s", tc.got, tc.want)
		}
	}
	one, two := "*.md", "*.txt"
	for _, tc := range []struct {
		spec, observed *string
		same           bool
	}{{nil, nil, true}, {&one, nil, false}, {&one, &two, false}, {&one, &one, true}} {
		if got := plan.SameBucketContent(sourcev1.BucketSpec{Ignore: tc.spec}, sourcev1.BucketStatus{ObservedIgnore: tc.observed}); got != tc.same {
			t.Errorf("%v after %v: same content %t", tc.spec, tc.observed, got)
		}
	}
}

func FuzzBucketEndpoint(f *testing.F) {
	for _, endpoint := range []string{"minio.example.com:9000", "https://a.blob.core.windows.net?sig=x", "a@b", "[::1]:80", "\x00", "://", "a/b#c"} {
		for _, provider := range []string{"generic", "aws", "gcp", "azure"} {
			f.Add(endpoint, provider)
		}
	}
	f.Fuzz(func(t *testing.T, endpoint, provider string) {
		u, p := plan.BucketEndpoint(bucketSpec(func(s *sourcev1.BucketSpec) { s.Endpoint, s.Provider = endpoint, provider }))
		if p != nil {
			return
		}
		if u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%q passes as %s", endpoint, u)
		}
	})
}
