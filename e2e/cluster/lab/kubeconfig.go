package lab

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// access is what one user needs to talk to one API server.
type access struct {
	context string // the name of the kubeconfig's context, its cluster and its user
	server  string // URL
	trust   []byte // CA bundle, PEM
	user    keyPair
}

// writeKubeconfig writes a kubeconfig with a context for each access, of which the first is the current one.
func writeKubeconfig(path string, all ...access) error {
	config := api.NewConfig()
	for _, a := range all {
		config.Clusters[a.context] = &api.Cluster{Server: a.server, CertificateAuthorityData: a.trust}
		config.AuthInfos[a.context] = &api.AuthInfo{ClientCertificateData: a.user.certificate, ClientKeyData: a.user.key}
		config.Contexts[a.context] = &api.Context{Cluster: a.context, AuthInfo: a.context}
		if config.CurrentContext == "" {
			config.CurrentContext = a.context
		}
	}
	text, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("lab: encode a kubeconfig: %w", err)
	}
	return writeFile(path, text)
}
