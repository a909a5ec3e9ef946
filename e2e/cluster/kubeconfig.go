package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// identities are the certificate users besides admin, and their groups. The
// control plane's own names have their rules from the API server's bootstrap
// RBAC; kwok plays kubelets of every node and so is an administrator.
func identities() map[string][]string {
	return map[string][]string{
		ControllerManager: nil,
		Scheduler:         nil,
		Kwok:              {"system:masters"},
	}
}

// writeKubeconfigs writes one kubeconfig per identity.
func (l *layout) writeKubeconfigs() error {
	for name, groups := range identities() {
		client, err := l.pki.client("system:"+name, groups...)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(l.kubeconfig(name), l.restConfig(client)); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) restConfig(client pair) *rest.Config {
	return &rest.Config{
		Host:            l.apiURL(),
		TLSClientConfig: rest.TLSClientConfig{CAData: l.pki.pem, CertData: client.cert, KeyData: client.key},
		QPS:             -1, // the server's own fairness is limit enough
	}
}

// writeKubeconfig writes cfg as a kubeconfig with one context.
func writeKubeconfig(path string, cfg *rest.Config) error {
	const name = "sluice-e2e"
	out := clientcmdapi.NewConfig()
	out.Clusters[name] = &clientcmdapi.Cluster{Server: cfg.Host, CertificateAuthorityData: cfg.CAData}
	out.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData, Token: cfg.BearerToken,
	}
	out.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	out.CurrentContext = name
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create kubeconfig folder: %w", err)
	}
	if err := clientcmd.WriteToFile(*out, path); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	return nil
}
