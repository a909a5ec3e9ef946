package process

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// Scheme knows Kubernetes' own kinds, and those that add adds: the AddToScheme functions of API packages.
func Scheme(add ...func(*runtime.Scheme) error) (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, one := range append([]func(*runtime.Scheme) error{clientgoscheme.AddToScheme}, add...) {
		if err := one(scheme); err != nil {
			return nil, fmt.Errorf("make scheme: %w", err)
		}
	}
	return scheme, nil
}
