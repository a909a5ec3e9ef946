package identity_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
)

// TestS20RefusalsAreWords: each refusal says who was refused, where and what to do, the same each time, and has nothing in it
// that was sent. The fakes repeat the token they were shown in all that they answer.
func TestS20RefusalsAreWords(t *testing.T) {
	gcpPool := map[string]string{"gcp.auth.fluxcd.io/workload-identity-provider": pool}
	audience := "//iam.googleapis.com/" + pool
	for name, tc := range map[string]struct {
		provider    string
		repository  string
		annotations map[string]string
		cloud       func(t *testing.T)
		says        []string
	}{
		"aws: issuer unknown": {
			"aws", ecr, awsAccount(), func(t *testing.T) { (&aws{role: role, refusal: "InvalidIdentityToken"}).start(t) },
			[]string{"of spec.serviceAccountName at AWS", "IAM OIDC identity provider"},
		},
		"aws: another role": {
			"aws", ecr, awsAccount(), func(t *testing.T) { (&aws{role: "arn:aws:iam::1:role/other"}).start(t) },
			[]string{"trust policy", "system:serviceaccount:", "sts.eu-west-1.amazonaws.com answers 403"},
		},
		"aws: late": {
			"aws", ecr, awsAccount(), func(t *testing.T) { (&aws{refusal: "ExpiredTokenException"}).start(t) },
			[]string{"clock"},
		},
		"aws: unheard-of": {
			"aws", ecr, awsAccount(), func(t *testing.T) { (&aws{refusal: "CANARYException"}).start(t) },
			[]string{"AWS refuses it", "403"},
		},
		"aws: no login to registries": {
			"aws", ecr, awsAccount(), func(t *testing.T) { (&aws{role: role, ecr: "AccessDeniedException"}).start(t) },
			[]string{"ecr:GetAuthorizationToken"},
		},
		"aws: no annotation": {
			"aws", ecr, map[string]string{}, func(*testing.T) {}, []string{"eks.amazonaws.com/role-arn"},
		},
		"aws: not a registry": {
			"aws", acr, awsAccount(), func(*testing.T) {}, []string{"spec.url", "dkr.ecr", "spec.provider"},
		},
		"aws: unreachable": {
			"aws", ecr, awsAccount(), func(*testing.T) {}, []string{"sts.eu-west-1.amazonaws.com"},
		},
		"aws: redirect": {
			"aws", ecr, awsAccount(), func(t *testing.T) {
				outside.serve(t, "sts.eu-west-1.amazonaws.com", func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, "https://elsewhere.example.com/CANARY", http.StatusTemporaryRedirect)
				})
				outside.serve(t, "elsewhere.example.com", func(http.ResponseWriter, *http.Request) { t.Error("S-25: what was sent went to another host") })
			}, []string{"sts.eu-west-1.amazonaws.com gives no token, and answers 307 Temporary Redirect"},
		},
		"aws: endless": {
			"aws", ecr, awsAccount(), func(t *testing.T) {
				outside.serve(t, "sts.eu-west-1.amazonaws.com", func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusOK)
					for range 2 << 10 {
						if _, err := io.WriteString(w, strings.Repeat("CANARY  ", 128)); err != nil {
							return
						}
					}
				})
			}, []string{"answers something that is no token"},
		},
		"aws: not XML": {
			"aws", ecr, awsAccount(), func(t *testing.T) {
				outside.serve(t, "sts.eu-west-1.amazonaws.com", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "CANARY") })
			}, []string{"answers something that is no token"},
		},
		"azure: no federated credential": {
			"azure", acr, azureAccount(), func(t *testing.T) { (&azure{tenant: tenant, refusal: "AADSTS70021"}).start(t) },
			[]string{"AADSTS70021", "system:serviceaccount:", "api://AzureADTokenExchange"},
		},
		"azure: another client": {
			"azure", acr, azureAccount(), func(t *testing.T) { (&azure{tenant: tenant, client: "another"}).start(t) },
			[]string{"azure.workload.identity/client-id"},
		},
		"azure: no tenant": {
			"azure", acr, azureAccount(), func(t *testing.T) { (&azure{tenant: tenant, refusal: "AADSTS90002"}).start(t) },
			[]string{"azure.workload.identity/tenant-id"},
		},
		"azure: half an annotation": {
			"azure", acr, map[string]string{"azure.workload.identity/tenant-id": tenant}, func(*testing.T) {},
			[]string{"azure.workload.identity/client-id"},
		},
		"azure: no right to pull": {
			"azure", acr, azureAccount(), func(t *testing.T) {
				(&azure{tenant: tenant, client: clientID, registry: http.StatusUnauthorized}).start(t)
			}, []string{"acme.azurecr.io answers 401", "AcrPull"},
		},
		"azure: an answer without a token": {
			"azure", acr, azureAccount(), func(t *testing.T) { (&azure{tenant: tenant, client: clientID, incomplete: true}).start(t) },
			[]string{"acme.azurecr.io answers something that is no token"},
		},
		"azure: a node without identity": {
			"azure", acr, nil, func(t *testing.T) { (&azure{noNode: true}).start(t) },
			[]string{"source-controller's own identity", "AZURE_CLIENT_ID"},
		},
		"gcp: unknown pool": {
			"gcp", gar, gcpPool, func(t *testing.T) { (&gcp{audience: "another"}).start(t) },
			[]string{"gcp.auth.fluxcd.io/workload-identity-provider"},
		},
		"gcp: condition not met": {
			"gcp", gar, gcpPool, func(t *testing.T) { (&gcp{audience: audience, refusal: "invalid_grant"}).start(t) },
			[]string{"attribute condition", "system:serviceaccount:"},
		},
		"gcp: no right to impersonate": {
			"gcp", gar, map[string]string{
				"gcp.auth.fluxcd.io/workload-identity-provider": pool, "iam.gke.io/gcp-service-account": gcpSA,
			}, func(t *testing.T) { (&gcp{audience: audience, account: "another"}).start(t) },
			[]string{"roles/iam.workloadIdentityUser"},
		},
		"gcp: not an address": {
			"gcp", gar, map[string]string{"iam.gke.io/gcp-service-account": "sluice"}, func(*testing.T) {},
			[]string{"iam.gke.io/gcp-service-account"},
		},
		"gcp: overloaded": {
			"gcp", gar, gcpPool, func(t *testing.T) {
				outside.serve(t, "sts.googleapis.com", func(w http.ResponseWriter, r *http.Request) {
					http.Error(w, "CANARY "+r.FormValue("subject_token"), http.StatusServiceUnavailable)
				})
			}, []string{"sts.googleapis.com gives no token, and answers 503 Service Unavailable"},
		},
		"no cloud": {"generic", ecr, map[string]string{}, func(*testing.T) {}, []string{"spec.provider"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cloud(t)
			s := account(t, tc.annotations)
			if tc.annotations == nil {
				s.ServiceAccount = ""
			}
			i := issuer(t, nil)
			_, err := i.Registry(t.Context(), tc.provider, s, tc.repository)
			first := problem(t, err, tc.says...)
			noSecret(t, first.Message)
			if first.Reason != sourcev1.AuthenticationFailedReason || first.Condition != sourcev1.FetchFailedCondition || first.Terminal {
				t.Errorf("%+v", first)
			}
			if _, err = i.Registry(t.Context(), tc.provider, s, tc.repository); problem(t, err).Message != first.Message {
				t.Errorf("the second message is %q, the first was %q", err, first.Message)
			}
		})
	}
}

// TestGate: while the gate is closed an object may not name a ServiceAccount, which nothing but a change mends.
func TestGate(t *testing.T) {
	cloud := (&aws{role: role}).start(t)
	i := issuer(t, func(o *identity.Options) { o.ObjectLevel = false })
	_, err := i.Registry(t.Context(), "aws", account(t, awsAccount()), ecr)
	p := problem(t, err, "spec.serviceAccountName", "--feature-gates=ObjectLevelWorkloadIdentity=true")
	if p.Reason != meta.FeatureGateDisabledReason || !p.Terminal || cloud.sessions.Load() != 0 {
		t.Errorf("%+v", p)
	}
}

// TestLockdown: with a default ServiceAccount nobody has the controller's own identity, whatever that may.
func TestLockdown(t *testing.T) {
	cloud := (&aws{role: role}).start(t)
	t.Setenv("AWS_ROLE_ARN", role)
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", assertionFile(t, "sts.amazonaws.com"))
	i := issuer(t, func(o *identity.Options) { o.DefaultServiceAccount = "app" })
	s := account(t, awsAccount())
	s.ServiceAccount = ""
	if _, err := i.Registry(t.Context(), "aws", s, ecr); err != nil {
		t.Fatal(err)
	}
	if subject, want := <-cloud.subjects, "system:serviceaccount:"+s.Namespace+":app"; subject != want {
		t.Errorf("logged in as %q, want %q", subject, want)
	}
	i = issuer(t, func(o *identity.Options) { o.DefaultServiceAccount = "tenant" })
	_, err := i.Registry(t.Context(), "aws", s, ecr)
	says(t, err, s.Namespace+"/tenant", "--default-service-account", "does not exist")
	if n := cloud.sessions.Load(); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

// TestAccountGone: a ServiceAccount that is deleted, or has another role, is not logged in with because its token is kept.
func TestAccountGone(t *testing.T) {
	cloud := (&aws{role: role}).start(t)
	i := issuer(t, nil)
	s := account(t, awsAccount())
	if _, err := i.Registry(t.Context(), "aws", s, ecr); err != nil {
		t.Fatal(err)
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.ServiceAccount}}
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(sa), sa); err != nil {
		t.Fatal(err)
	}
	sa.Annotations["eks.amazonaws.com/role-arn"] = role + "-more"
	if err := cluster.Update(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	_, err := i.Registry(t.Context(), "aws", s, ecr)
	says(t, err, "trust policy")
	if err := cluster.Delete(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	_, err = i.Registry(t.Context(), "aws", s, ecr)
	says(t, err, s.Namespace+"/app", "does not exist")
	if n := cloud.sessions.Load(); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

// TestMayNotCreateTokens: what the controller lacks in RBAC is said with the chart's value that grants it.
func TestMayNotCreateTokens(t *testing.T) {
	(&aws{role: role}).start(t)
	narrow := func(refusal error) client.Client {
		return interceptor.NewClient(cluster, interceptor.Funcs{
			SubResourceCreate: func(context.Context, client.Client, string, client.Object, client.Object, ...client.SubResourceCreateOption) error {
				return refusal
			},
		})
	}
	s := account(t, awsAccount())
	for _, tc := range map[string]struct {
		refusal error
		says    string
	}{
		"forbidden": {apierrors.NewForbidden(schema.GroupResource{Resource: "serviceaccounts"}, "app", errors.New("CANARY")), "source.objectLevelIdentity"},
		"down":      {errors.New("dial tcp: CANARY"), "does not answer"},
	} {
		i := issuer(t, func(o *identity.Options) { o.Client = narrow(tc.refusal) })
		_, err := i.Registry(t.Context(), "aws", s, ecr)
		noSecret(t, problem(t, err, s.Namespace+"/app", tc.says).Message)
	}
}

// TestOneHangs: a cloud that does not answer one object keeps no other waiting, and that one no longer than its own time.
func TestOneHangs(t *testing.T) {
	(&aws{role: role}).start(t)
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	outside.serve(t, "sts.eu-central-1.amazonaws.com", func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(http.StatusForbidden)
	})
	i := issuer(t, nil)
	slow, fast := account(t, awsAccount()), account(t, awsAccount())
	ctx, cancel := context.WithCancel(t.Context())
	hung := make(chan error, 1)
	go func() {
		_, err := i.Registry(ctx, "aws", slow, strings.ReplaceAll(ecr, "eu-west-1", "eu-central-1"))
		hung <- err
	}()
	select {
	case <-arrived:
	case err := <-hung:
		t.Fatal(err)
	}
	if _, err := i.Registry(t.Context(), "aws", fast, ecr); err != nil {
		t.Error(err)
	}
	cancel()
	noSecret(t, problem(t, <-hung, "AWS did not give a token in time").Message)
	close(release)
}

// TestBurst: many objects with one ServiceAccount cost one session.
func TestBurst(t *testing.T) {
	cloud := (&aws{role: role}).start(t)
	i := issuer(t, nil)
	s := account(t, awsAccount())
	done := make(chan error, 50)
	for n := range cap(done) {
		go func() {
			each := s
			each.Name = fmt.Sprint("app-", n)
			_, err := i.Registry(t.Context(), "aws", each, ecr)
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := cloud.sessions.Load(); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

// TestS25ObjectsProxy: an object's proxy is what its own tokens are asked for through, and those that its registry exchanges.
// What the node gives the controller in the clear goes through none of an object's.
func TestS25ObjectsProxy(t *testing.T) {
	(&aws{role: role}).start(t)
	(&azure{}).start(t)
	i := issuer(t, nil)
	s := account(t, awsAccount())
	s.Proxy = outside.object
	if _, err := i.Registry(t.Context(), "aws", s, ecr); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"sts.eu-west-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com"} {
		if got := outside.requests(host); len(got) != 1 || got[0] != "object POST "+host+"/" {
			t.Errorf("requests %q, want one through the object's proxy", got)
		}
	}
	s.ServiceAccount = ""
	if _, err := i.Registry(t.Context(), "azure", s, acr); err != nil {
		t.Fatal(err)
	}
	if got := outside.requests("169.254.169.254"); len(got) == 0 || strings.HasPrefix(strings.Join(got, "\n"), "object ") {
		t.Errorf("requests %q, want none through the object's proxy", got)
	}
	if got := outside.requests("acme.azurecr.io"); len(got) != 1 || !strings.HasPrefix(got[0], "object ") {
		t.Errorf("requests %q, want one through the object's proxy", got)
	}
}
