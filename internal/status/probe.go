package status

import (
	"fmt"
	"time"
)

// NoPortError is why there can be no call to a port.
type NoPortError struct {
	Service string
	Port    uint16
	// Ports are those that the service has.
	Ports []uint16
}

func (e *NoPortError) Error() string {
	return fmt.Sprintf("service %s has no TCP port %d; it has %v", e.Service, e.Port, e.Ports)
}

// ProbeQuery selects the call that `eastway probe SERVICE` makes.
type ProbeQuery struct {
	Namespace, Name string
	// Port is one of the service; 0: its first.
	Port uint16
	// Request is the head of an HTTP/1.1 request, empty for GET /. On a port that is TCP it has no effect.
	Request []byte
	// Timeout bounds the call.
	Timeout time.Duration
}

// Probe is what became of a call that a proxy made of itself, as an application makes it.
type Probe struct {
	Port uint16 `json:"port"`
	// Protocol is "HTTP" or "TCP".
	Protocol string `json:"protocol"`
	// Listener is where the proxy was called.
	Listener string `json:"listener"`
	// Total is the time until the end of the answer, or, for TCP, until an endpoint accepted.
	Total time.Duration `json:"totalNanos"`
	// Status is that of the answer; 0: none, or TCP.
	Status int `json:"status,omitempty"`
	// Result is that of the access log: "ok", or why not.
	Result string `json:"result"`
	Error  string `json:"error,omitempty"`
	Hops   []Hop  `json:"hops"`
	// Endpoint is the one that answered, or accepted; empty: none did.
	Endpoint string `json:"endpoint,omitempty"`
	Cluster  string `json:"cluster,omitempty"`
	Region   string `json:"region,omitempty"`
	Zone     string `json:"zone,omitempty"`
}

// Hop is one try.
type Hop struct {
	// Target is an address, or a peer.
	Target  string `json:"target"`
	Cluster string `json:"cluster"`
	Result  string `json:"result"`
	Reason  string `json:"reason,omitempty"`
	// Took is the time until the head of an answer, or until the target accepted.
	Took time.Duration `json:"tookNanos"`
	// AtPeer is the part of it that passed at the peer: its proxy and its endpoint. The rest is the tunnel. 0: not known.
	AtPeer time.Duration `json:"atPeerNanos,omitempty"`
}

// OK is true for a call that was answered, for HTTP below 500.
func (p *Probe) OK() bool {
	const serverError = 500
	return p.Result == "ok" && p.Error == "" && p.Status < serverError
}
