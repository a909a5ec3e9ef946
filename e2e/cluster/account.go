package cluster

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// accountTokenSeconds is how long a ServiceAccount's token lives: longer than any local stack is kept.
const accountTokenSeconds = 7 * 24 * 3600

// AccountKubeconfig writes a kubeconfig with a token of the ServiceAccount, so that what uses it has exactly that
// account's rights.
func (c *Cluster) AccountKubeconfig(ctx context.Context, namespace, name, path string) error {
	clients, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("kubeconfig of serviceaccount/%s/%s: %w", namespace, name, err)
	}
	seconds := int64(accountTokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	token, err := clients.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("token of serviceaccount/%s/%s: %w", namespace, name, err)
	}
	return writeKubeconfig(path, &rest.Config{
		Host:            c.config.Host,
		BearerToken:     token.Status.Token,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.CA()},
	})
}
