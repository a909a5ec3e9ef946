package stack

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestTranslate(t *testing.T) {
	place := Place{
		Namespace: "flux-system",
		Ports:     map[int32]int{9090: 31001, 8080: 31002, 4222: 31003},
		Mounts:    map[string]string{"/data": "/run/source/data", "/etc/sluice/nats": "/run/source/nats"},
		Services:  map[string]int{"source-controller:80": 31001, "nats:4222": 31003},
		Secret: func(name, key string) (string, error) {
			if name != "sluice-nats-x" || key != "password" {
				return "", errors.New("no such key")
			}
			return "pw", nil
		},
	}
	fromField := corev1.EnvVar{Name: "RUNTIME_NAMESPACE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}
	fromSecret := corev1.EnvVar{Name: "X_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "sluice-nats-x"}, Key: "password",
	}}}
	fromLimit := corev1.EnvVar{Name: "GOMEMLIMIT", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"}}}
	limited := corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}}
	tests := map[string]struct {
		reason    string
		container corev1.Container
		want      Command
		fails     bool
	}{
		"Controller": {
			reason: "addresses and paths are rewritten, the rest stays to the letter",
			container: corev1.Container{Env: []corev1.EnvVar{fromField, fromLimit}, Resources: limited, Args: []string{
				"--log-level=info", "--metrics-addr=:8080", "--storage-path=/data", "--nats-creds=/etc/sluice/nats",
				"--storage-adv-addr=source-controller.$(RUNTIME_NAMESPACE).svc.cluster.local.",
				"--nats-url=nats://nats.$(RUNTIME_NAMESPACE).svc.cluster.local.:4222", "--enable-leader-election",
			}},
			want: Command{Env: []string{"RUNTIME_NAMESPACE=flux-system", "GOMEMLIMIT=1073741824"}, Args: []string{
				"--log-level=info", "--metrics-addr=127.0.0.1:31002", "--storage-path=/run/source/data", "--nats-creds=/run/source/nats",
				"--storage-adv-addr=127.0.0.1:31001",
				"--nats-url=nats://127.0.0.1:31003", "--enable-leader-election",
			}},
		},
		"NATS": {
			reason:    "nats-server takes host and port apart, and its passwords from the environment",
			container: corev1.Container{Env: []corev1.EnvVar{fromSecret}, Args: []string{"--addr=0.0.0.0", "--port=4222", "--store_dir=/data"}},
			want:      Command{Env: []string{"X_PASSWORD=pw"}, Args: []string{"--addr=127.0.0.1", "--port=31003", "--store_dir=/run/source/data"}},
		},
		"UnknownPort": {
			reason:    "a port that the pod does not declare would not be reachable in a cluster either",
			container: corev1.Container{Args: []string{"--metrics-addr=:8081"}},
			fails:     true,
		},
		"UnknownService": {
			reason:    "an address of a Service that the chart does not install is a mistake in the chart",
			container: corev1.Container{Args: []string{"--x=http://other.ns.svc.cluster.local./"}},
			fails:     true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Translate(tc.container, place)
			if (err != nil) != tc.fails {
				t.Fatalf("%s: error %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" && !tc.fails {
				t.Errorf("%s:\n%s", tc.reason, diff)
			}
		})
	}
}
