package kubeconfig

import (
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Load finds the API server: by a file or a context in it, else by the pod's service account, else by what kubectl would use.
func Load(file, kubeContext string) (*rest.Config, error) {
	if file == "" && kubeContext == "" {
		c, err := rest.InClusterConfig()
		if err == nil || !errors.Is(err, rest.ErrNotInCluster) {
			return c, err
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes API server: %w: name a kubeconfig file (--kubeconfig), or run in a pod", err)
	}
	return c, nil
}
