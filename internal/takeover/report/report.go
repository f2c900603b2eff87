// Package report is what a node agent reports at /takeovers: plain types that the agent fills in and commands print. It runs
// nothing and reads nothing.
package report

import (
	"net/netip"
	"time"
)

// Path is where the agent's health listener serves Status, as JSON.
const Path = "/takeovers"

// Status is the state of one node's agent.
type Status struct {
	Node     Locality        `json:"node"`
	Datapath Datapath        `json:"datapath"`
	Proxies  []ProxyStatus   `json:"proxies"`
	Services []ServiceStatus `json:"services"`
	Omitted  Omitted         `json:"omitted,omitzero"`
	// Unproven is why the agent cannot prove to proxies what it is; usually "".
	Unproven string `json:"unproven,omitempty"`
	// Written is when the tables were last written.
	Written time.Time `json:"written"`
	// Error is why the tables cannot be written now; usually "".
	Error string `json:"error,omitempty"`
}

// Locality is where a node is.
type Locality struct {
	Node   string `json:"node,omitempty"`
	Zone   string `json:"zone,omitempty"`
	Region string `json:"region,omitempty"`
}

// Omitted counts what exceeds the limits of a node: kube-proxy serves those Services, and those proxies get no calls.
type Omitted struct {
	Services int `json:"services,omitempty"`
	Proxies  int `json:"proxies,omitempty"`
}

// Datapath is the result of the packet check.
type Datapath struct {
	// Checked: there is a result.
	Checked bool `json:"checked"`
	// Bypassed is how calls bypass nftables on this node; "" if they do not.
	Bypassed string `json:"bypassed,omitempty"`
	// Undecided is why the last checks have no result, so that Bypassed is from an earlier one, if any; "" if they have.
	Undecided string `json:"undecided,omitempty"`
	// Address is the cluster IP and port that the check calls.
	Address string `json:"address,omitempty"`
}

// ProxyStatus is one proxy as this node sees it.
type ProxyStatus struct {
	Address  netip.Addr `json:"address"`
	Pod      string     `json:"pod,omitempty"`
	Locality            // of the proxy
	Distance string     `json:"distance"`
	Alive    bool       `json:"alive"`
	// Suspect: probes time out. It gets calls that no other proxy can serve.
	Suspect bool `json:"suspect,omitempty"`
	// Silent: probes have timed out for seconds. It gets calls that nothing else could answer.
	Silent    bool `json:"silent,omitempty"`
	Ready     bool `json:"ready"`
	Listeners int  `json:"listeners"`
}

// ServiceStatus is how one Service is served on this node.
type ServiceStatus struct {
	Service string `json:"service"`
	// Carries is the imported service, NAMESPACE/NAME, for which the controller made Service; "" if Service itself is taken
	// over.
	Carries   string       `json:"carries,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Refused is why the Service cannot be taken over at all.
	Refused string       `json:"refused,omitempty"`
	Ports   []PortStatus `json:"ports,omitempty"`
}

// PortStatus is how one port under one of the cluster IPs is served.
type PortStatus struct {
	Address string `json:"address,omitempty"` // cluster IP and port
	Port    string `json:"port"`              // PORT/PROTOCOL
	// Proxies get its calls, at those addresses and ports, in equal shares.
	Proxies []netip.AddrPort `json:"proxies,omitempty"`
	// Distance of the proxies: node, zone, region or cluster.
	Distance string `json:"distance,omitempty"`
	// Reason is why kube-proxy serves it instead; "" if proxies do.
	Reason string `json:"reason,omitempty"`
}
