package identity_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
)

const (
	role     = "arn:aws:iam::123456789012:role/sluice"
	ecr      = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/charts/podinfo"
	acr      = "acme.azurecr.io/charts/podinfo"
	gar      = "europe-west1-docker.pkg.dev/acme/charts/podinfo"
	pool     = "projects/1/locations/global/workloadIdentityPools/pool/providers/cluster"
	gcpSA    = "sluice@acme.iam.gserviceaccount.com"
	tenant   = "00000000-0000-0000-0000-000000000001"
	clientID = "00000000-0000-0000-0000-000000000002"
)

func awsAccount() map[string]string { return map[string]string{"eks.amazonaws.com/role-arn": role} }

func azureAccount() map[string]string {
	return map[string]string{"azure.workload.identity/tenant-id": tenant, "azure.workload.identity/client-id": clientID}
}

// assertionFile is what the clouds' webhooks mount into a Pod: a token of its ServiceAccount.
func assertionFile(t *testing.T, audience string) string {
	t.Helper()
	token := `{"aud":["` + audience + `"],"sub":"system:serviceaccount:flux-system:source-controller"}`
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("e30."+base64url(token)+".CANARY"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRegistry: the login of each cloud's registry, as the controller and as a ServiceAccount.
func TestRegistry(t *testing.T) {
	for name, tc := range map[string]struct {
		reason      string
		provider    string
		repository  string
		annotations map[string]string // of the ServiceAccount; nil: the controller's own identity
		env         func(t *testing.T) map[string]string
		cloud       func(t *testing.T)
		user        string
		password    string // how it begins
	}{
		"aws, as a ServiceAccount": {
			reason:   "AssumeRoleWithWebIdentity in the registry's region, then ECR's login",
			provider: "aws", repository: "oci://" + ecr, annotations: awsAccount(),
			cloud: func(t *testing.T) { (&aws{role: role}).start(t) },
			user:  "AWS", password: "CANARY-ecr",
		},
		"aws, public": {
			reason:   "public.ecr.aws is in us-east-1, with a login of its own",
			provider: "aws", repository: "public.ecr.aws/acme/podinfo", annotations: awsAccount(),
			cloud: func(t *testing.T) { (&aws{role: role}).start(t) },
			user:  "AWS", password: "CANARY-public",
		},
		"aws, as the controller": {
			reason:   "what the webhook of EKS sets for IAM Roles for Service Accounts",
			provider: "aws", repository: ecr,
			env: func(t *testing.T) map[string]string {
				return map[string]string{"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": assertionFile(t, "sts.amazonaws.com")}
			},
			cloud: func(t *testing.T) { (&aws{role: role}).start(t) },
			user:  "AWS", password: "CANARY-ecr",
		},
		"azure, as a ServiceAccount": {
			reason:   "client assertion, then the registry's exchange",
			provider: "azure", repository: acr, annotations: azureAccount(),
			cloud: func(t *testing.T) { (&azure{tenant: tenant, client: clientID}).start(t) },
			user:  "00000000-0000-0000-0000-000000000000", password: "eyJ",
		},
		"azure, as the controller": {
			reason:   "what the webhook of Azure sets for workload identity",
			provider: "azure", repository: acr,
			env: func(t *testing.T) map[string]string {
				return map[string]string{
					"AZURE_CLIENT_ID": clientID, "AZURE_TENANT_ID": tenant, "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
					"AZURE_FEDERATED_TOKEN_FILE": assertionFile(t, "api://AzureADTokenExchange"),
				}
			},
			cloud: func(t *testing.T) { (&azure{tenant: tenant, client: clientID}).start(t) },
			user:  "00000000-0000-0000-0000-000000000000", password: "eyJ",
		},
		"azure, as the node": {
			reason:   "the kubelet's managed identity, from the instance metadata service",
			provider: "azure", repository: acr,
			cloud: func(t *testing.T) { (&azure{}).start(t) },
			user:  "00000000-0000-0000-0000-000000000000", password: "eyJ",
		},
		"gcp, as a ServiceAccount": {
			reason:   "direct access: the exchanged token is the login",
			provider: "gcp", repository: gar, annotations: map[string]string{"gcp.auth.fluxcd.io/workload-identity-provider": pool},
			cloud: func(t *testing.T) { (&gcp{audience: "//iam.googleapis.com/" + pool}).start(t) },
			user:  "oauth2accesstoken", password: "CANARY-gcp-",
		},
		"gcp, as a GCP service account": {
			reason:   "impersonation: the exchanged token gets another one",
			provider: "gcp", repository: gar, annotations: map[string]string{
				"gcp.auth.fluxcd.io/workload-identity-provider": pool, "iam.gke.io/gcp-service-account": gcpSA,
			},
			cloud: func(t *testing.T) { (&gcp{audience: "//iam.googleapis.com/" + pool, account: gcpSA}).start(t) },
			user:  "oauth2accesstoken", password: "CANARY-impersonated-",
		},
		"gcp, as a ServiceAccount of GKE": {
			reason:   "without the annotation of a provider, the metadata server says which cluster this is",
			provider: "gcp", repository: "gcr.io/acme/podinfo", annotations: map[string]string{},
			cloud: func(t *testing.T) {
				(&gcp{audience: "identitynamespace:acme.svc.id.goog:" +
					"https://container.googleapis.com/v1/projects/acme/locations/europe-west1/clusters/prod"}).start(t)
			},
			user: "oauth2accesstoken", password: "CANARY-gcp-",
		},
		"gcp, as the controller": {
			reason:   "the metadata server of GKE",
			provider: "gcp", repository: gar,
			user: "oauth2accesstoken", password: "CANARY-node-",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.env != nil {
				for name, value := range tc.env(t) {
					t.Setenv(name, value)
				}
			}
			if tc.cloud != nil {
				tc.cloud(t)
			}
			s := identity.Subject{Kind: "OCIRepository", Namespace: "team", Name: "podinfo"}
			if tc.annotations != nil {
				s = account(t, tc.annotations)
			}
			login, err := issuer(t, nil).Registry(t.Context(), tc.provider, s, tc.repository)
			if err != nil || login.Username != tc.user || !strings.HasPrefix(login.Password, tc.password) {
				t.Errorf("%s: user %q, error %v", tc.reason, login.Username, err)
			}
		})
	}
}

// TestF41TokensEnd: a token is used while it is good for a while, and never to its end.
func TestF41TokensEnd(t *testing.T) {
	cloud := (&aws{role: role, life: 10 * time.Minute}).start(t)
	now := &clock{}
	i := issuer(t, func(o *identity.Options) { o.Clock = now.now })
	s := account(t, awsAccount())
	for _, step := range []struct {
		ahead    time.Duration
		refused  bool
		sessions int32
		reason   string
	}{
		{0, false, 1, "there is none"},
		{7 * time.Minute, false, 1, "it is good for three minutes"},
		{9 * time.Minute, false, 2, "it would end on the way"},
		{10 * time.Minute, false, 2, "the second is good"},
		{10 * time.Minute, true, 3, "the registry refused the second"},
		{10 * time.Minute, false, 3, "the third is good"},
		{2 * time.Hour, false, 4, "all are old"},
		{-24 * time.Hour, false, 4, "a clock that was put back makes no token older"},
	} {
		if now.ahead = step.ahead; step.refused {
			i.Refused(s.Kind, s.Namespace, s.Name)
		}
		if _, err := i.Registry(t.Context(), "aws", s, ecr); err != nil {
			t.Fatal(err)
		}
		if n := cloud.sessions.Load(); n != step.sessions {
			t.Errorf("at %s: %d sessions, want %d: %s", step.ahead, n, step.sessions, step.reason)
		}
	}
}

// TestCacheOff: without a cache each login is a new one.
func TestCacheOff(t *testing.T) {
	cloud := (&aws{role: role}).start(t)
	s := account(t, awsAccount())
	for name, change := range map[string]func(*identity.Options){
		"no size": func(o *identity.Options) { o.CacheSize = 0 },
		"no time": func(o *identity.Options) { o.CacheTTL = 0 },
	} {
		i, before := issuer(t, change), cloud.sessions.Load()
		for range 2 {
			if _, err := i.Registry(t.Context(), "aws", s, ecr); err != nil {
				t.Fatal(err)
			}
		}
		if n := cloud.sessions.Load() - before; n != 2 {
			t.Errorf("%s: %d sessions, want 2", name, n)
		}
		if len(i.Collectors()) != 0 {
			t.Errorf("%s: there are metrics of a cache that is none", name)
		}
	}
}
