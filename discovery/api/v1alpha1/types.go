// Package v1alpha1 holds the types of the API group eastway.dev/v1alpha1.
// Spec belongs to the user; everything that Eastway learns goes to status.
package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GroupVersion is what manifests write as apiVersion.
const GroupVersion = "eastway.dev/v1alpha1"

// Peer is another cluster that this one trusts and tunnels to.
type Peer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              PeerSpec `json:"spec"`
}

// PeerSpec is what `eastway peer export` writes in one cluster and
// `eastway peer import` takes in another.
type PeerSpec struct {
	// SPIFFEID is the one identity that the peer's proxies present,
	// spiffe://TRUSTDOMAIN/eastway/cluster/NAME.
	SPIFFEID string `json:"spiffeID"`
	// TrustBundle holds the peer's roots of trust: SPIFFE JWKS (starts with "{") or PEM.
	TrustBundle string `json:"trustBundle"`
	// Addresses are host:port pairs where the peer's proxies accept tunnels, on TCP and UDP alike.
	// Empty: the peer has no public address, it dials us.
	Addresses []string `json:"addresses,omitempty"`
}

// TrafficPolicy says how calls to a service choose among its endpoints. Fields carry the names and meanings
// of Istio's DestinationRule trafficPolicy.
type TrafficPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              TrafficPolicySpec `json:"spec"`
}

// TrafficPolicySpec attaches to one Service of its own namespace.
type TrafficPolicySpec struct {
	TargetRef        TargetRef         `json:"targetRef"`
	OutlierDetection *OutlierDetection `json:"outlierDetection,omitempty"`
	LoadBalancer     *LoadBalancer     `json:"loadBalancer,omitempty"`
	ConnectionPool   *ConnectionPool   `json:"connectionPool,omitempty"`
}

// TargetRef is a Gateway API local policy target reference; group "" (or "core") and kind Service.
type TargetRef struct {
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// OutlierDetection ejects endpoints that fail. A nil field means the default
// (see failover's table).
type OutlierDetection struct {
	// SplitExternalLocalOriginErrors keeps failures to connect apart from answers (5xx). Eastway always does;
	// the field is accepted so that a DestinationRule's policy can be carried over.
	SplitExternalLocalOriginErrors *bool `json:"splitExternalLocalOriginErrors,omitempty"`
	// ConsecutiveLocalOriginFailures ejects after so many failures to connect in a row; 0 turns it off.
	ConsecutiveLocalOriginFailures *uint32 `json:"consecutiveLocalOriginFailures,omitempty"`
	// Consecutive5xxErrors counts HTTP answers; connections that are carried as plain TCP have none.
	Consecutive5xxErrors *uint32 `json:"consecutive5xxErrors,omitempty"`
	// Interval is the time between sweeps that end ejections and probe, at least 100ms.
	Interval *metav1.Duration `json:"interval,omitempty"`
	// BaseEjectionTime is multiplied by the number of times the endpoint has been ejected.
	BaseEjectionTime *metav1.Duration `json:"baseEjectionTime,omitempty"`
	// MaxEjectionPercent of all the service's endpoints (a peer counts as one), 0 to 100; one is always left.
	MaxEjectionPercent *int32 `json:"maxEjectionPercent,omitempty"`
}

// LoadBalancer orders localities.
type LoadBalancer struct {
	LocalityLbSetting *LocalityLbSetting `json:"localityLbSetting,omitempty"`
}

// LocalityLbSetting follows Istio's message of that name.
type LocalityLbSetting struct {
	// Failover lists, for callers in region From, the region to prefer among other regions.
	Failover []LocalityFailover `json:"failover,omitempty"`
}

// LocalityFailover is one From → To pair of regions.
type LocalityFailover struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// ConnectionPool bounds connections.
type ConnectionPool struct {
	TCP *TCPSettings `json:"tcp,omitempty"`
}

// TCPSettings follows Istio's message of that name.
type TCPSettings struct {
	// ConnectTimeout of one attempt, 1ms to 1m.
	ConnectTimeout *metav1.Duration `json:"connectTimeout,omitempty"`
}
