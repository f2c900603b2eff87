package kube

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/eastway/eastway/discovery"
)

// Sink takes what was found; discovery.Catalog is one.
type Sink interface {
	SetLocal(discovery.Local)
}

// Config of a Source. REST, Namespace and Cluster are needed.
type Config struct {
	// REST has the API server's address and the credentials. Its rate limit is replaced.
	REST *rest.Config
	// Namespace is that of the Eastway installation: derived Services count only there.
	Namespace string
	// NodeName is the node that this process runs on; empty outside the cluster.
	NodeName string
	// Cluster and SPIFFEID are the own ones, which no Peer may have.
	Cluster  string
	SPIFFEID string
	// Region is where everything is that no label places; the default is the own node's region.
	Region string
	// SnapshotDir keeps what is known for a restart while the API server is away, made if needed; empty: nothing is kept.
	SnapshotDir string
	// ValidatePeer returns what is wrong with the identity or the trust bundle of a Peer; a *field.Error names the field.
	ValidatePeer func(name, spiffeID, bundle string) error
	// Guard decides which addresses may be endpoints; nil: no loopback addresses.
	Guard *discovery.Guard
	// Log may be nil.
	Log *zap.Logger
	// Registerer of metrics may be nil.
	Registerer prometheus.Registerer
}

// Validate names the first field that is wrong.
func (c *Config) Validate() error {
	if c.REST == nil {
		return errors.New("kube: Config.REST: where the API server is is required")
	}
	for _, f := range []struct {
		name, value string
		valid       func(string) []string
	}{
		{"Namespace", c.Namespace, validation.IsDNS1123Label},
		{"Cluster", c.Cluster, validation.IsDNS1123Label},
		{"NodeName", c.NodeName, optional(validation.IsDNS1123Subdomain)},
		{"Region", c.Region, validation.IsValidLabelValue},
	} {
		if msgs := f.valid(f.value); len(msgs) > 0 {
			return fmt.Errorf("kube: Config.%s: %q: %s", f.name, f.value, msgs[0])
		}
	}
	return nil
}

func optional(valid func(string) []string) func(string) []string {
	return func(s string) []string {
		if s == "" {
			return nil
		}
		return valid(s)
	}
}
