package apply_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
)

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      volumes: [{name: data, emptyDir: {}}]
      containers:
      - name: main
        image: web
        env: [{name: MODE, value: fast}]
        ports: [{name: http, containerPort: 80}]
        livenessProbe: {httpGet: {port: 80}}
`

const service = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NS}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
`

// TestClusterFieldsThatContradictAreTakenOver is about fields that an apply leaves where they are, and with which the object
// would not be valid: defaults of the API server, and what was edited by hand.
func TestClusterFieldsThatContradictAreTakenOver(t *testing.T) {
	t.Parallel()
	const container = "/spec/template/spec/containers/0"
	for name, tc := range map[string]struct {
		reason  string
		first   string
		edit    string // a JSON patch by somebody
		editor  string
		then    string
		refused string
		path    []string
		want    string
	}{
		"default strategy": {
			reason: "the API server's default rollingUpdate is nobody's", first: web,
			then: strings.Replace(web, "spec:\n  selector", "spec:\n  strategy: {type: Recreate}\n  selector", 1),
			path: []string{"spec", "strategy"}, want: `{"type":"Recreate"}`,
		},
		"number of a port": {
			reason: "the edited port has our port's name", first: service, then: service, editor: "kubectl-edit",
			edit: `[{"op":"replace","path":"/spec/ports/0/port","value":8080}]`,
			path: []string{"spec", "ports"}, want: `[{"name":"http","port":80,"protocol":"TCP","targetPort":80}]`,
		},
		"number of a container's port": {
			reason: "the same in a list in a list, by a client that is not kubectl", first: web, then: web, editor: "node-fetch",
			edit: `[{"op":"replace","path":"` + container + `/ports/0/containerPort","value":8080}]`,
			path: []string{"spec", "template", "spec", "containers", "0", "ports"},
			want: `[{"containerPort":80,"name":"http","protocol":"TCP"}]`,
		},
		"source of a variable": {
			reason: "value and valueFrom are alternatives", first: web, then: web, editor: "kubectl-edit",
			edit: `[{"op":"replace","path":"` + container + `/env/0","value":{"name":"MODE","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}}]`,
			path: []string{"spec", "template", "spec", "containers", "0", "env"}, want: `[{"name":"MODE","value":"fast"}]`,
		},
		"kind of a volume": {
			reason: "a volume has one source", first: web, then: web, editor: "node-fetch",
			edit: `[{"op":"replace","path":"/spec/template/spec/volumes/0","value":{"name":"data","hostPath":{"path":"/x"}}}]`,
			path: []string{"spec", "template", "spec", "volumes"}, want: `[{"emptyDir":{},"name":"data"}]`,
		},
		"kind of a probe": {
			reason: "a probe has one handler", first: web, then: web, editor: "kubectl-edit",
			edit: `[{"op":"remove","path":"` + container + `/livenessProbe/httpGet"},{"op":"add","path":"` + container + `/livenessProbe/exec","value":{"command":["x"]}}]`,
			path: []string{"spec", "template", "spec", "containers", "0", "livenessProbe", "exec"}, want: `null`,
		},
		"applied by somebody else": {
			reason: "what another tool applies is not ours to take", first: service, then: service, editor: "applied",
			edit:    `{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"ports":[{"name":"http","port":8080}]}}`,
			refused: "spec.ports[1].name: Duplicate value", path: []string{"spec", "ports"},
			want: `[{"name":"old","port":80,"protocol":"TCP","targetPort":80},{"name":"http","port":8080,"protocol":"TCP","targetPort":8080}]`,
		},
		"both in the source": {
			reason: "a contradiction of the source's own is the source's fault, and nothing is written", first: web,
			then:    strings.Replace(web, "emptyDir: {}", "emptyDir: {}, hostPath: {path: /x}", 1),
			refused: "may not specify more than 1 volume type",
			path:    []string{"spec", "template", "spec", "volumes"}, want: `[{"emptyDir":{},"name":"data"}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.mustApply(t, tc.first)
			f.edit(t, tc.first, tc.editor, tc.edit)
			f.requests.take()
			_, err := f.apply(t, tc.then, apply.Options{})
			var refused *apply.Error
			switch {
			case tc.refused == "" && err != nil:
				t.Fatalf("%s: %v", tc.reason, err)
			case tc.refused != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), tc.refused)):
				t.Fatalf("%s: error %v, want %q", tc.reason, err, tc.refused)
			case tc.refused != "" && f.requests.take()["PATCH"] > 0:
				t.Errorf("%s, and yet something was written", tc.reason)
			}
			kind := f.parse(t, tc.first)[0].Object
			live := f.mustGet(t, kind.GetAPIVersion(), kind.GetKind(), "web")
			got, err := json.Marshal(at(live.Object, tc.path))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("%s:\n%s", tc.reason, diff)
			}
		})
	}
}

// edit changes the object as somebody else; an apply takes the place of ours.
func (f *fixture) edit(t *testing.T, yaml, editor, patch string) {
	t.Helper()
	if editor == "" {
		return
	}
	object := f.parse(t, yaml)[0].Object
	kind := types.JSONPatchType
	options := []client.PatchOption{client.FieldOwner(editor)}
	if editor == "applied" {
		kind, options = types.ApplyPatchType, append(options, client.ForceOwnership)
		f.dropPort(t, object)
	}
	if err := f.admin.Patch(t.Context(), object, client.RawPatch(kind, []byte(patch)), options...); err != nil {
		t.Fatal(err)
	}
}

// dropPort takes our port away, so that another one can have its name.
func (f *fixture) dropPort(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	patch := client.RawPatch(types.JSONPatchType, []byte(`[{"op":"replace","path":"/spec/ports/0/name","value":"old"}]`))
	if err := f.admin.Patch(t.Context(), object.DeepCopy(), patch, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
}

// at is the value that a path of names and indexes leads to.
func at(value any, path []string) any {
	for _, step := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			value = v[0]
		}
	}
	return value
}
