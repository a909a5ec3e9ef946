package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-gitops/sluice/e2e/cluster"
)

// workload is one pod template of the chart and its place on this machine.
type workload struct {
	name  string
	pod   corev1.PodSpec
	app   string // the label that Services select it by
	ports map[int32]int
}

func (w workload) container() corev1.Container { return w.pod.Containers[0] }

// readWorkloads reads what the chart installed, and gives every container port a free local one. NATS comes first:
// the others connect to it.
func readWorkloads(ctx context.Context, clients kubernetes.Interface) ([]workload, error) {
	var found []workload
	sets, err := clients.AppsV1().StatefulSets(Namespace).List(ctx, metav1.ListOptions{LabelSelector: chartSelector})
	if err != nil {
		return nil, fmt.Errorf("read the chart's StatefulSets: %w", err)
	}
	for _, set := range sets.Items {
		found = append(found, workload{name: set.Name, pod: set.Spec.Template.Spec, app: set.Spec.Template.Labels["app"]})
	}
	deployments, err := clients.AppsV1().Deployments(Namespace).List(ctx, metav1.ListOptions{LabelSelector: chartSelector})
	if err != nil {
		return nil, fmt.Errorf("read the chart's Deployments: %w", err)
	}
	for _, deployment := range deployments.Items {
		found = append(found, workload{name: deployment.Name, pod: deployment.Spec.Template.Spec, app: deployment.Spec.Template.Labels["app"]})
	}
	for i := range found {
		found[i].ports = map[int32]int{}
		for _, port := range found[i].container().Ports {
			if found[i].ports[port.ContainerPort], err = cluster.FreePort(); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// readServices maps "<service>:<port>" to the local port of the workload behind it.
func readServices(ctx context.Context, clients kubernetes.Interface, workloads []workload) (map[string]int, error) {
	services, err := clients.CoreV1().Services(Namespace).List(ctx, metav1.ListOptions{LabelSelector: chartSelector})
	if err != nil {
		return nil, fmt.Errorf("read the chart's Services: %w", err)
	}
	local := map[string]int{}
	for _, service := range services.Items {
		i := slices.IndexFunc(workloads, func(w workload) bool { return w.app == service.Spec.Selector["app"] })
		if i < 0 {
			return nil, fmt.Errorf("service %s selects no pod of the chart", service.Name)
		}
		for _, port := range service.Spec.Ports {
			for _, declared := range workloads[i].container().Ports {
				if declared.Name == port.TargetPort.String() || fmt.Sprint(declared.ContainerPort) == port.TargetPort.String() {
					local[fmt.Sprintf("%s:%d", service.Name, port.Port)] = workloads[i].ports[declared.ContainerPort]
				}
			}
		}
	}
	return local, nil
}

// mount makes the pod's volumes as folders below dir: Secrets and ConfigMaps with their content, the rest empty or as an
// earlier start left it.
func mount(ctx context.Context, clients kubernetes.Interface, w workload, dir string) (map[string]string, error) {
	folders := map[string]string{}
	for _, m := range w.container().VolumeMounts {
		folder := mountFolder(dir, m)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("mount %s of %s: %w", m.Name, w.name, err)
		}
		folders[m.MountPath] = folder
		files, err := volumeFiles(ctx, clients, w.pod, m.Name)
		if err != nil {
			return nil, fmt.Errorf("mount %s of %s: %w", m.Name, w.name, err)
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
				return nil, fmt.Errorf("mount %s of %s: %w", m.Name, w.name, err)
			}
		}
	}
	return folders, nil
}

// mountFolder is where a mount is played, below the workload's folder.
func mountFolder(dir string, m corev1.VolumeMount) string { return filepath.Join(dir, m.Name) }

func volumeFiles(ctx context.Context, clients kubernetes.Interface, pod corev1.PodSpec, name string) (map[string][]byte, error) {
	i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	if i < 0 {
		return nil, nil // a volumeClaimTemplate: an empty folder
	}
	switch volume := pod.Volumes[i]; {
	case volume.Secret != nil:
		secret, err := clients.CoreV1().Secrets(Namespace).Get(ctx, volume.Secret.SecretName, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return secret.Data, nil
	case volume.ConfigMap != nil:
		config, err := clients.CoreV1().ConfigMaps(Namespace).Get(ctx, volume.ConfigMap.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		files := map[string][]byte{}
		for key, value := range config.Data {
			files[key] = []byte(value)
		}
		return files, nil
	}
	return nil, nil
}
