package apply_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// ordinary is what people apply, in forms that the API server stores differently.
const ordinary = `
apiVersion: v1
kind: Namespace
metadata: {name: NS-flux}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: a, namespace: NS-flux}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: a, namespace: NS-flux}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "NS:reader", namespace: stray}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: v1
kind: Secret
metadata: {name: a, namespace: NS-flux, creationTimestamp: null}
stringData: {password: secret}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: NS-flux}
spec: {selector: {app: a}, ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: NS-flux, annotations: {note: "1"}}
spec:
  strategy: {}
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}, creationTimestamp: null}
    spec:
      containers:
      - name: main
        image: example.org/a
        ports: [{containerPort: 8080}, {containerPort: 443}]
        env: [{name: A, value: "1"}, {name: B, valueFrom: {secretKeyRef: {name: a, key: password}}}]
        resources: {requests: {cpu: 1000m, memory: 0.5Gi}, limits: {cpu: "1"}}
status: {replicas: 1}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a, namespace: NS-flux}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: a, namespace: NS-flux}
spec:
  schedule: "* * * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: example.org/a}]}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a, namespace: NS-flux}
spec: {rules: [{host: a.example.org, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {name: http}}}}]}}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.NS.example.org}
spec:
  group: NS.example.org
  names: {kind: Gadget, plural: gadgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer, default: 3}, color: {type: string}}}}
---
apiVersion: NS.example.org/v1
kind: Gadget
metadata: {name: a, namespace: NS-flux}
spec: {color: blue}
`

// flux applies the objects as kustomize-controller does, with its library, and returns the change set.
func (f *fixture) flux(t *testing.T, yaml string) *ssa.ChangeSet {
	t.Helper()
	objects := make([]*unstructured.Unstructured, 0, 16)
	for _, o := range f.parse(t, yaml) {
		objects = append(objects, o.Object)
	}
	poller := polling.NewStatusPoller(f.admin, f.admin.RESTMapper(), polling.Options{})
	resources := ssa.NewResourceManager(f.admin, poller, ssa.Owner{Field: manager, Group: group})
	resources.SetOwnerLabels(objects, f.Owner.Name, f.Owner.Namespace)
	if err := normalize.UnstructuredList(objects); err != nil {
		t.Fatal(err)
	}
	options := ssa.DefaultApplyOptions()
	options.Cleanup.FieldManagers = []ssa.FieldManager{
		{Name: "kubectl", OperationType: "Apply"}, {Name: "kubectl", OperationType: "Update"},
		{Name: "before-first-apply", OperationType: "Update"}, {Name: manager, OperationType: "Update"},
	}
	changes, err := resources.ApplyAllStaged(t.Context(), objects, options)
	if err != nil {
		t.Fatalf("apply as Flux does: %v", err)
	}
	return changes
}

func TestClusterTakesOverFromFluxAndBackWithoutAWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if created := f.flux(t, ordinary); len(created.Entries) < 12 {
		t.Fatalf("Flux applied %d objects", len(created.Entries))
	}
	f.requests.take()
	for _, line := range f.mustApply(t, ordinary) {
		if !strings.HasSuffix(line, " unchanged") {
			t.Errorf("of what Flux had applied: %s", line)
		}
	}
	if writes := f.requests.take()["PATCH"]; writes > 0 {
		t.Errorf("%d writes to what Flux had applied", writes)
	}
	changed := strings.NewReplacer("example.org/a}", "example.org/b}", "color: blue", "color: red").Replace(ordinary)
	f.mustApply(t, changed)
	for _, entry := range f.flux(t, changed).Entries {
		if entry.Action != ssa.UnchangedAction {
			t.Errorf("going back to Flux: %s", entry.String())
		}
	}
	set, err := f.Prepare(f.parse(t, ordinary))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range f.parse(t, ordinary) {
		if o.Object.GetKind() != "ClusterRole" && !set.Inventory().Has(inventory.EntryOf(o.Object).ID) {
			t.Errorf("the inventory lacks %s", utils.FmtUnstructured(o.Object))
		}
	}
}
