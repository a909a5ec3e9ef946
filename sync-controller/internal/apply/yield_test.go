package apply_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestClusterAggregatedRulesAreTheClusters is about roles whose rules a controller of the cluster fills in: what a manifest
// says of them is overwritten, and would take the rights away until then.
func TestClusterAggregatedRulesAreTheClusters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NS-all, labels: {version: "1"}}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {part: "NS"}}]}
rules: []
`
	f.mustApply(t, role)
	filled := f.parse(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NS-all}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
`)[0].Object
	err := f.admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(filled), client.ForceOwnership, client.FieldOwner("clusterrole-aggregation-controller"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := f.mustApply(t, role); !strings.HasSuffix(lines[0], " unchanged") {
		t.Errorf("%v, though nothing of ours changed", lines)
	}
	if lines := f.mustApply(t, strings.Replace(role, `"1"`, `"2"`, 1)); !strings.HasSuffix(lines[0], " configured") {
		t.Errorf("%v, though a label changed", lines)
	}
	live := &unstructured.Unstructured{}
	live.SetAPIVersion("rbac.authorization.k8s.io/v1")
	live.SetKind("ClusterRole")
	if err := f.admin.Get(t.Context(), client.ObjectKey{Name: f.namespace + "-all"}, live); err != nil {
		t.Fatal(err)
	}
	if rules, _, _ := unstructured.NestedSlice(live.Object, "rules"); len(rules) != 1 {
		t.Errorf("the rules are %v: what the cluster filled in is lost", rules)
	}
}

// TestClusterReplicasPassToAnAutoscaler: a commit that brings an autoscaler and takes the replicas out does not scale down to
// one in between.
func TestClusterReplicasPassToAnAutoscaler(t *testing.T) {
	t.Parallel()
	const autoscaler = `
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: NS}
spec: {minReplicas: 3, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
`
	five := strings.Replace(web, "spec:\n  selector", "spec:\n  replicas: 5\n  selector", 1)
	for name, tc := range map[string]struct {
		reason, first, then string
		want                int64
	}{
		"with an autoscaler":     {"it goes on from where it is", five, web + autoscaler, 5},
		"without one":            {"the source asks for the default", five, web, 1},
		"replicas in the source": {"what it says counts", five, strings.Replace(five, "5", "4", 1) + autoscaler, 4},
		"one that was off":       {"an autoscaler leaves alone what has no replicas", strings.Replace(five, "5", "0", 1), web + autoscaler, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.mustApply(t, tc.first)
			f.mustApply(t, tc.then)
			replicas := func() int64 {
				n, _, _ := unstructured.NestedInt64(f.mustGet(t, "apps/v1", "Deployment", "web").Object, "spec", "replicas")
				return n
			}
			if got := replicas(); got != tc.want {
				t.Fatalf("%s: %d replicas, want %d", tc.reason, got, tc.want)
			}
			if tc.want != 5 {
				return
			}
			f.edit(t, web, "kube-controller-manager", `[{"op":"replace","path":"/spec/replicas","value":7}]`)
			if f.mustApply(t, tc.then); replicas() != 7 {
				t.Errorf("%d replicas: what the autoscaler says is not left to it", replicas())
			}
		})
	}
}

// TestClusterPlaceholdersAreLeftOut is about places that are held for what is injected.
func TestClusterPlaceholdersAreLeftOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const webhook = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NS-hooks}
webhooks:
- name: a.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  clientConfig: {caBundle: Cg==, url: "https://127.0.0.1:1/a"}
  rules: [{apiGroups: [none.example.com], apiVersions: [v1], operations: [CREATE], resources: [nothings]}]
`
	f.mustApply(t, webhook)
	object := f.parse(t, webhook)[0].Object
	injected := client.RawPatch(types.JSONPatchType, []byte(`[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"`+authority(t)+`"}]`))
	if err := f.admin.Patch(t.Context(), object, injected, client.FieldOwner("cainjector")); err != nil {
		t.Fatal(err)
	}
	if lines := f.mustApply(t, webhook); !strings.HasSuffix(lines[0], " unchanged") {
		t.Errorf("%v: the injected bundle is taken out again", lines)
	}
}

// authority is a bundle with one certificate, as JSON has it.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
