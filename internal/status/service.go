package status

import (
	"net/netip"
	"time"
)

// Values of Endpoint.Status.
const (
	Healthy     = "HEALTHY"
	NotReady    = "NOT_READY"
	Terminating = "TERMINATING" // not ready any more, but serving: used when nothing is ready anywhere; of a peer also: all fail their health check
	Unreachable = "UNREACHABLE" // a peer without a usable lane
	// FailedProbes: nothing behind the port has taken a connection, neither of calls nor of probes, which go on.
	FailedProbes = "FAILED_PROBES"
	// FailedActiveHC: it fails the policy's health check, and is used when all else failed. The name is Envoy's.
	FailedActiveHC = "FAILED_ACTIVE_HC"
	OutOfScope     = "OUT_OF_SCOPE" // where the policy's scope lets no call go
	NoConsent      = "NO_CONSENT"   // a peer that exports the service, of which the own cluster has not consented that peers answer for it
)

// Values of Endpoint.OutlierCheck.
const (
	CheckOK      = "OK"
	CheckFailed  = "FAILED" // ejected
	CheckProbing = "PROBING"
	CheckRamping = "RAMPING"
)

// Endpoint is one row of `eastway endpoints SERVICE`: a place to which connections for the service can go.
type Endpoint struct {
	// Address is IP:PORT for a local endpoint, the peer's name for a peer.
	Address string `json:"address"`
	// Host is the DNS name that has the address, of an endpoint outside all clusters.
	Host    string `json:"host,omitempty"`
	Cluster string `json:"cluster"`
	Port    uint16 `json:"port"` // the service port
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	// Level is the order for a caller in the proxy's own zone: 0 own zone, 1 elsewhere in the own cluster,
	// 2 near peers, 3 peers in other regions.
	Level        int    `json:"level"`
	Status       string `json:"status"`
	OutlierCheck string `json:"outlierCheck"`
	// HealthCheck is why it fails the policy's health check; empty if it does not.
	HealthCheck string `json:"healthCheck,omitempty"`
	// EjectedFor is the time left, when ejected.
	EjectedFor time.Duration `json:"ejectedForNanos,omitempty"`
	// EjectionKind is why it was ejected, as in metrics, until it is OK again.
	EjectionKind string        `json:"ejectionKind,omitempty"`
	Active       int           `json:"active"` // connections in flight
	RTT          time.Duration `json:"rttNanos,omitempty"`
}

// Listener is one address and port on which callers reach a service.
type Listener struct {
	Address netip.AddrPort `json:"address"`
	Service string         `json:"service"` // NAMESPACE/NAME
	// Error is why the listener is not open, and what to do; empty when it is open.
	Error string `json:"error,omitempty"`
	// Vacant: it is closed, without an error, because nothing can serve the service. Callers are refused.
	Vacant bool `json:"vacant,omitempty"`
}
