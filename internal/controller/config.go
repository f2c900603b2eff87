package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/controller/gateway"
	"github.com/eastway/eastway/internal/controller/identity"
	"github.com/eastway/eastway/internal/controller/mcs"
)

const (
	// apiQPS and apiBurst bound the requests per second: 10,000 services are created in a few minutes, and the API
	// server protects itself (priority and fairness).
	apiQPS   = 300
	apiBurst = 600
	// reconcileTimeout bounds one look at one object: an API server that hangs must not hold a worker for ever.
	reconcileTimeout = 30 * time.Second
	// stopTimeout is how long the parts may take to end.
	stopTimeout = 10 * time.Second
	// waitMin and waitMax bound the pauses between checks for what the API server lacks at the start.
	waitMin = time.Second
	waitMax = 10 * time.Second
)

// DefaultPorts are the proxies' listener ports: below Kubernetes' node ports and Linux' ephemeral ones.
func DefaultPorts() mcs.PortRange { return mcs.PortRange{First: 20000, Last: 29999} }

// Names of objects in the installation's namespace.
type Names struct {
	// ProxiesService is the headless Service that selects the proxies' pods.
	ProxiesService string
	// TunnelServices are those at which peers reach the proxies.
	TunnelServices []string
	// What the controller makes itself.
	CASecret, SVIDSecret, NodeSecret, ConfigMap, Lease string
	// NodeDaemonSet is that of the node agents; "" or none of that name: there are none.
	NodeDaemonSet string
	// OwnerClusterRole is a ClusterRole that owns all of that but the CA, so that it is removed with the
	// installation; "": none.
	OwnerClusterRole string
}

// NamesOf are the names in a helm release's installation, without an owner.
func NamesOf(release string) Names {
	return Names{
		ProxiesService: release + "-proxies", TunnelServices: []string{release + "-tunnel"},
		CASecret: release + "-ca", SVIDSecret: release + "-svid", NodeSecret: release + "-node-svid",
		ConfigMap: release + "-cluster", Lease: release + "-controller",
		NodeDaemonSet: release + "-node",
	}
}

// Siblings are the links to the cluster's proxies; siblings.Siblings is one.
type Siblings interface {
	// Run holds the links until ctx ends.
	Run(ctx context.Context) error
	// SetProxies sets the addresses of the proxies, IP:PORT each.
	SetProxies(addresses []string) error
	// PeerStates are the peers as each proxy sees them; the channel is closed when they change.
	PeerStates() (map[string][]discovery.PeerConnectivity, <-chan struct{})
}

// Config of a Controller. Fields that are not marked optional are required.
type Config struct {
	// REST is how to reach the API server.
	REST *rest.Config
	// Cluster is the own name.
	Cluster string
	// TrustDomain of a CA that has to be made, and that one which is there must have; optional.
	TrustDomain spiffeid.TrustDomain
	// Namespace of the installation.
	Namespace string
	Names     Names
	// PublicAddresses are HOST:PORT pairs at which peers reach this cluster; none: those of the tunnel Services.
	PublicAddresses []string
	// Ports that proxies may listen on for services; the zero value is DefaultPorts.
	Ports mcs.PortRange
	// Gateways says what the Services of Gateways are like; without an EntryService there are none.
	Gateways gateway.Settings
	// Catalog has what peers export; the Controller sets its peers.
	Catalog *discovery.Catalog
	// Identity takes the cluster's certificate.
	Identity *identity.Holder
	// Siblings feed the catalog, and have the states of peers; optional.
	Siblings Siblings
	// Version of this program, for the API server's log; optional.
	Version string
	// Log and Registerer are optional.
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Validate names the first field that is not usable.
func (c *Config) Validate() error {
	switch {
	case c.REST == nil:
		return errors.New("controller: Config.REST is required")
	case c.Cluster == "":
		return errors.New("controller: Config.Cluster is required")
	case c.Namespace == "":
		return errors.New("controller: Config.Namespace is required")
	case c.Catalog == nil || c.Identity == nil:
		return errors.New("controller: Config.Catalog and Identity are required")
	case c.Ports.First > c.Ports.Last:
		return fmt.Errorf("controller: Config.Ports: %d-%d is no range", c.Ports.First, c.Ports.Last)
	}
	for field, name := range map[string]string{
		"ProxiesService": c.Names.ProxiesService, "CASecret": c.Names.CASecret, "SVIDSecret": c.Names.SVIDSecret,
		"NodeSecret": c.Names.NodeSecret,
		"ConfigMap":  c.Names.ConfigMap, "Lease": c.Names.Lease,
	} {
		if name == "" {
			return fmt.Errorf("controller: Config.Names.%s is required", field)
		}
	}
	return nil
}
