package failover

import "time"

// EndpointStatus is one row of `eastway endpoints SERVICE`.
type EndpointStatus struct {
	// Address is IP:PORT for a local endpoint, the peer's name for a peer.
	Address string `json:"address"`
	Cluster string `json:"cluster"`
	Port    uint16 `json:"port"` // the service port
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	// Level is the order for a caller in the proxy's own zone: 0 own zone, 1 own region (and cluster),
	// 2 near peers, 3 peers in other regions.
	Level int `json:"level"`
	// Status is HEALTHY, NOT_READY, TERMINATING (not ready but serving, used when nothing is ready anywhere) or UNREACHABLE (a peer
	// without a usable lane).
	Status string `json:"status"`
	// OutlierCheck is OK, FAILED (ejected), PROBING or RAMPING.
	OutlierCheck string `json:"outlierCheck"`
	// EjectedFor is the time left, when ejected.
	EjectedFor time.Duration `json:"ejectedForNanos,omitempty"`
	Active     int           `json:"active"`
	RTT        time.Duration `json:"rttNanos,omitempty"`
}
