package identity_test

import (
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
)

// TestBuckets: what the clients of the three clouds' buckets ask for.
func TestBuckets(t *testing.T) {
	(&aws{role: role}).start(t)
	entra := (&azure{tenant: tenant, client: clientID}).start(t)
	(&gcp{audience: "//iam.googleapis.com/" + pool}).start(t)
	i := issuer(t, nil)

	s3, err := i.AWS(t.Context(), account(t, awsAccount()), "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s3.Retrieve(t.Context())
	if err != nil || keys.AccessKeyID != "ASIACANARY" || keys.SessionToken == "" || !keys.CanExpire || time.Until(keys.Expires) < 50*time.Minute {
		t.Errorf("AWS: expires %s, %v", keys.Expires, err)
	}

	blob, err := i.Azure(t.Context(), account(t, azureAccount()))
	if err != nil {
		t.Fatal(err)
	}
	token, err := blob.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
	if err != nil || !strings.HasPrefix(token.Token, "CANARY-azure-") || time.Until(token.ExpiresOn) < 50*time.Minute {
		t.Errorf("Azure: expires %s, %v", token.ExpiresOn, err)
	}
	if n := entra.tokens.Load(); n != 1 {
		t.Errorf("Azure: %d tokens, want 1: the one that was got at once is the one that is used", n)
	}

	gcs, err := i.GCP(t.Context(), account(t, map[string]string{"gcp.auth.fluxcd.io/workload-identity-provider": pool}))
	if err != nil {
		t.Fatal(err)
	}
	access, err := gcs.Token()
	if err != nil || !strings.HasPrefix(access.AccessToken, "CANARY-gcp-") || time.Until(access.Expiry) < 50*time.Minute {
		t.Errorf("GCP: %v", err)
	}
}

// TestBucketRegion: AWS gives credentials for a region, at an endpoint that is its own.
func TestBucketRegion(t *testing.T) {
	cloud := (&aws{role: role}).start(t)
	i := issuer(t, nil)
	s := account(t, awsAccount())
	_, err := i.AWS(t.Context(), s, "")
	says(t, err, "spec.region")

	own := identity.Subject{Kind: "Bucket", Namespace: s.Namespace, Name: "own"}
	_, err = i.AWS(t.Context(), own, "")
	says(t, err, "spec.region")
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ROLE_ARN", role)
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", assertionFile(t, "sts.amazonaws.com"))
	if _, err := i.AWS(t.Context(), own, ""); err != nil {
		t.Error(err)
	}

	s.STSEndpoint = "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com"
	outside.serve(t, "vpce-1.sts.eu-west-1.vpce.amazonaws.com", cloud.sts)
	if _, err := i.AWS(t.Context(), s, "eu-west-1"); err != nil {
		t.Error(err)
	}
	if n := len(outside.requests("vpce-1.sts.eu-west-1.vpce.amazonaws.com")); n != 1 {
		t.Errorf("%d requests to spec.sts.endpoint, want 1", n)
	}
	s.STSEndpoint = "https://sts.example.com"
	_, err = i.AWS(t.Context(), s, "eu-west-1")
	says(t, err, "spec.sts.endpoint")
}
