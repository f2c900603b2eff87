package lab

import (
	"fmt"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Clients of a test may ask as often as they like.
const (
	clientQPS   = 200
	clientBurst = 400
)

// RESTConfig is access to the cluster as its administrator.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("lab: read the kubeconfig of %s: %w", c.Name, err)
	}
	config.QPS, config.Burst = clientQPS, clientBurst
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connections == nil {
		if c.connections, err = rest.TransportFor(config); err != nil {
			return nil, fmt.Errorf("lab: make connections to %s: %w", c.Name, err)
		}
	}
	return config, nil
}

// Clients of the cluster's API server, as its administrator.
func (c *Cluster) Clients() (*kubernetes.Clientset, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("lab: make clients of %s: %w", c.Name, err)
	}
	return clients, nil
}

// hangUp closes connections to the API server that are idle, also those of
// others in this process with the same RESTConfig: client-go shares them. They
// would outlive the server, whose network goes with it.
func (c *Cluster) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connections != nil {
		utilnet.CloseIdleConnectionsFor(c.connections)
	}
}

// ours refuses what can be done to clusters of a lab only.
func (c *Cluster) ours(what string) error {
	if c.lab == nil {
		return fmt.Errorf("lab: %s is a cluster of yours (%s): only clusters that this program started let it %s", c.Name, UserVariable, what)
	}
	return nil
}
