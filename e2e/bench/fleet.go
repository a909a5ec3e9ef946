package bench

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

const (
	// namespace holds the fleet: its source, its Kustomizations and their objects.
	namespace     = "bench"
	repository    = "fleet"
	objectsPerApp = 4
	// interval of the source and of every Kustomization: short, so that an idle minute has an interval pass of each.
	interval = "1m"
)

var (
	gitRepositories = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "gitrepositories"}
	kustomizations  = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	deployments     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	configMaps      = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	services        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
)

// fields is an object or a part of one, as JSON has it.
type fields = map[string]any

// object is one object and where the API server takes it.
type object struct {
	resource schema.GroupVersionResource
	file     string // its name in the repository
	fields   fields
}

// appName is the name of the i-th application, of its Kustomization and of its four objects.
func appName(i int) string { return fmt.Sprintf("app-%04d", i) }

func appNames(apps int) []string {
	names := make([]string, apps)
	for i := range names {
		names[i] = appName(i)
	}
	return names
}

// appObjects are the four objects of an application. The Deployment has no replicas: pods are the kubelet's work, not
// that of whoever installs. note is what commits change.
func appObjects(namespace, name, note string) []object {
	labels := fields{"app": name}
	metadata := func() fields { return fields{"name": name, "namespace": namespace} }
	return []object{
		{serviceAccounts, "serviceaccount.yaml", fields{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata()}},
		{configMaps, "configmap.yaml", fields{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(),
			"data": fields{"note": note, "settings.properties": "log.level=info\nserver.port=8080\n"},
		}},
		{services, "service.yaml", fields{
			"apiVersion": "v1", "kind": "Service", "metadata": metadata(),
			"spec": fields{"selector": labels, "ports": []any{fields{"name": "http", "port": int64(80), "targetPort": int64(8080)}}},
		}},
		{deployments, "deployment.yaml", fields{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(),
			"spec": fields{
				"replicas": int64(0), "selector": fields{"matchLabels": labels},
				"template": fields{
					"metadata": fields{"labels": labels},
					"spec": fields{"serviceAccountName": name, "containers": []any{fields{
						"name": "app", "image": "registry.example/app:1.0.0",
						"ports":     []any{fields{"name": "http", "containerPort": int64(8080)}},
						"envFrom":   []any{fields{"configMapRef": fields{"name": name}}},
						"resources": fields{"requests": fields{"cpu": "10m", "memory": "32Mi"}},
					}}},
				},
			},
		}},
	}
}

// appFiles are the files of an application in the repository: a kustomization.yaml and a file per object.
func appFiles(name, note string) (map[string]*string, error) {
	files := map[string]*string{}
	add := func(file string, content fields) error {
		text, err := yaml.Marshal(content)
		if err != nil {
			return fmt.Errorf("write %s of %s: %w", file, name, err)
		}
		written := string(text)
		files["apps/"+name+"/"+file] = &written
		return nil
	}
	var resources []any
	for _, o := range appObjects(namespace, name, note) {
		if err := add(o.file, o.fields); err != nil {
			return nil, err
		}
		resources = append(resources, o.file)
	}
	return files, add("kustomization.yaml", fields{"resources": resources})
}

// fleetFiles are the files of all applications.
func fleetFiles(apps int) (map[string]*string, error) {
	all := map[string]*string{}
	for _, name := range appNames(apps) {
		files, err := appFiles(name, "first version")
		if err != nil {
			return nil, err
		}
		for path, content := range files {
			all[path] = content
		}
	}
	return all, nil
}

// gitRepository is the fleet's one source.
func gitRepository(url string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: fields{
		"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
		"metadata": fields{"name": repository, "namespace": namespace},
		"spec":     fields{"interval": interval, "url": url, "ref": fields{"branch": "main"}},
	}}
}

// kustomization installs one application and waits for its health, as those of users do.
func kustomization(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: fields{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
		"metadata": fields{"name": name, "namespace": namespace},
		"spec": fields{
			"interval": interval, "path": "./apps/" + name, "prune": true, "wait": true, "timeout": "1m",
			"sourceRef": fields{"kind": "GitRepository", "name": repository},
		},
	}}
}
