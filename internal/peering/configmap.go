package peering

// Keys of the ConfigMap RELEASE-cluster, in which a controller publishes its own cluster's manifest.
const (
	// PeerKey has the manifest.
	PeerKey = "peer.yaml"
	// ClusterKey has the cluster's name.
	ClusterKey = "cluster"
	// FromKey has the source of the addresses in the manifest.
	FromKey = "addresses-from"
)

// Values of FromKey.
const (
	FromFlags        = "flags"
	FromLoadBalancer = "load-balancer"
	FromExternalIPs  = "external-ips"
	FromNodePorts    = "node-ports"
	FromNowhere      = "nowhere"
)
