package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PeerStatus is what this cluster's proxies say of a peer, taken together.
type PeerStatus struct {
	// ObservedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Accepted, Trusted, Connected, ReachableFromUs, ReachesUs and WithinQuota.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Proxies is how many proxies of this cluster reported the peer, ConnectedProxies how many of them have a tunnel to it.
	// +optional
	Proxies int32 `json:"proxies,omitempty"`
	// +optional
	ConnectedProxies int32 `json:"connectedProxies,omitempty"`
	// Lanes is the number of connections that carry streams, over all proxies.
	// +optional
	Lanes int32 `json:"lanes,omitempty"`
	// RoundTripTime is the shortest that a proxy of this cluster measured; follows it coarsely.
	// +optional
	RoundTripTime *metav1.Duration `json:"roundTripTime,omitempty"`
	// Services is how many services the peer exports that are imported.
	// +optional
	Services int32 `json:"services,omitempty"`
	// LastError says in plain words why the newest attempt to connect failed; empty when none does.
	// +optional
	LastError string `json:"lastError,omitempty"`
}

// Conditions of a Peer.
const (
	// PeerAccepted: the manifest is valid and in use. False leaves the last valid one in use.
	PeerAccepted = "Accepted"
	// PeerTrusted: a handshake proved each to the other. Unknown until one was tried.
	PeerTrusted = "Trusted"
	// PeerConnected: at least one proxy of this cluster has a tunnel to at least one of the peer.
	PeerConnected = "Connected"
	// PeerReachableFromUs: a tunnel that this cluster dialed is up.
	PeerReachableFromUs = "ReachableFromUs"
	// PeerReachesUs: a tunnel that the peer dialed is up.
	PeerReachesUs = "ReachesUs"
	// PeerWithinQuota: all that the peer exports and that may be imported is. False: it is more than spec.quota.
	PeerWithinQuota = "WithinQuota"
)

// Reasons of a Peer's conditions.
const (
	// ReasonAccepted goes with Accepted=True, of peers and policies.
	ReasonAccepted = "Accepted"
	// ReasonInvalid: a field is not usable, the message names it.
	ReasonInvalid = "Invalid"
	// ReasonOwnName: the Peer has the name of this very cluster.
	ReasonOwnName = "OwnName"
	// ReasonPending: nothing is known yet.
	ReasonPending = "Pending"
	// ReasonHandshake: a handshake succeeded.
	ReasonHandshake = "HandshakeSucceeded"
	// ReasonRefused: a handshake failed because of certificates, on either side.
	ReasonRefused = "HandshakeRefused"
	// ReasonTunnel: there is a tunnel. ReasonPartly: some proxies have none.
	ReasonTunnel = "TunnelUp"
	ReasonPartly = "SomeProxiesOnly"
	// ReasonNoTunnel: no proxy has one.
	ReasonNoTunnel = "NoTunnel"
	// ReasonNoAddress: the manifest has no address to dial.
	ReasonNoAddress = "NoAddress"
	// ReasonNotNeeded: the other side's tunnels are in use, so this direction is not tried.
	ReasonNotNeeded = "OtherSideDialled"
	// ReasonWithinQuota and ReasonQuotaExceeded: the quota is enough, or services are left out.
	ReasonWithinQuota   = "WithinQuota"
	ReasonQuotaExceeded = "QuotaExceeded"
)

// TrafficPolicyStatus says whether a policy is in use.
type TrafficPolicyStatus struct {
	// ObservedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions is Accepted.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ExternalServiceStatus says whether an ExternalService is in use, and how it is called.
type ExternalServiceStatus struct {
	// ObservedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Accepted and Programmed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Hostname is the name of the cluster's DNS that leads to the proxies: the target of a rewrite of spec.hosts.
	// +optional
	Hostname string `json:"hostname,omitempty"`
	// Addresses are cluster IPs that lead to the proxies.
	// +optional
	// +listType=atomic
	Addresses []string `json:"addresses,omitempty"`
}

// Conditions of an ExternalService, as in the Gateway API.
const (
	// ExternalAccepted: it is valid, and no Service has its name.
	ExternalAccepted = "Accepted"
	// ExternalProgrammed: callers in the cluster have an address for it.
	ExternalProgrammed = "Programmed"
)

// Reasons of an ExternalService's conditions beside those of policies and Peers.
const (
	// ReasonProgrammed goes with Programmed=True.
	ReasonProgrammed = "Programmed"
	// ReasonNotAccepted: it is not programmed because it is not accepted.
	ReasonNotAccepted = "NotAccepted"
	// ReasonFailed: the API server refused what gives it an address.
	ReasonFailed = "Failed"
)

// PolicyAccepted is the condition of a TrafficPolicy: it is valid and in use.
const PolicyAccepted = "Accepted"

// Reasons of a TrafficPolicy's condition beside ReasonAccepted and ReasonInvalid, as in the Gateway API.
const (
	// ReasonTargetNotFound: no service of that name is here or imported.
	ReasonTargetNotFound = "TargetNotFound"
	// ReasonConflicted: an older policy (or of the same age, with a smaller name) targets the same service.
	ReasonConflicted = "Conflicted"
)
