// Package v1alpha1 holds the types of the API group eastway.dev/v1alpha1.
// Spec belongs to the user; everything that Eastway learns goes to status.
//
// +kubebuilder:object:generate=true
// +groupName=eastway.dev
package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GroupVersion is the apiVersion of manifests.
const GroupVersion = "eastway.dev/v1alpha1"

// Peer is another cluster that this one trusts and tunnels to.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Trusted",type=string,JSONPath=`.status.conditions[?(@.type=="Trusted")].status`
// +kubebuilder:printcolumn:name="Connected",type=string,JSONPath=`.status.conditions[?(@.type=="Connected")].status`
// +kubebuilder:printcolumn:name="Lanes",type=integer,JSONPath=`.status.lanes`
// +kubebuilder:printcolumn:name="RTT",type=string,JSONPath=`.status.roundTripTime`
// +kubebuilder:printcolumn:name="Error",type=string,priority=1,JSONPath=`.status.lastError`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Peer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              PeerSpec `json:"spec"`
	// Status is what this cluster observes of the peer.
	// +optional
	Status PeerStatus `json:"status,omitzero"`
}

// PeerList is a list of Peers.
//
// +kubebuilder:object:root=true
type PeerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Peer `json:"items"`
}

// PeerSpec is the identity and addresses of a peer: `eastway peer export` prints it
// in one cluster, `eastway peer import` applies it in another.
type PeerSpec struct {
	// SPIFFEID is the identity that the peer's proxies must present,
	// spiffe://TRUSTDOMAIN/eastway/cluster/NAME.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^spiffe://`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the SPIFFE ID identifies the peer and is immutable: delete the Peer first"
	SPIFFEID string `json:"spiffeID"`
	// TrustBundle holds the peer's roots of trust: SPIFFE JWKS (starts with "{") or PEM.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1048576
	TrustBundle string `json:"trustBundle"`
	// Addresses are host:port pairs where the peer's proxies accept tunnels, on both TCP and UDP.
	// Empty: the peer has no public address and dials this cluster.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Addresses []string `json:"addresses,omitempty"`
	// Localities are the only ones in which the peer may claim to have endpoints: REGION or REGION/ZONE each. What it claims elsewhere counts
	// as far away. Absent: it may claim any.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=127
	Localities []string `json:"localities,omitempty"`
	// Exports are which of this cluster's exported services the peer may call; absent: all of them. This cluster decides that: the
	// manifest that the peer exports does not have it.
	// +optional
	Exports *ExportRules `json:"exports,omitempty"`
	// Imports are which of the peer's exports this cluster uses; absent: all of them. Like exports, this cluster decides that.
	// +optional
	Imports *ImportRules `json:"imports,omitempty"`
	// Denied are certificates of the peer that are not accepted, such as stolen ones; tunnels that stand on them are closed at once. This
	// cluster decides that too.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Denied []Denied `json:"denied,omitempty"`
	// Quota is how much of what the peer exports is imported; absent: the default of each field. Like imports, this cluster decides that.
	// +optional
	Quota *ImportQuota `json:"quota,omitempty"`
}

// TrafficPolicy configures how calls to a service choose among its endpoints. Fields have the names and meanings
// of Istio's DestinationRule trafficPolicy.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type TrafficPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              TrafficPolicySpec `json:"spec"`
	// Status shows whether the policy is in use.
	// +optional
	Status TrafficPolicyStatus `json:"status,omitzero"`
}

// TrafficPolicyList is a list of TrafficPolicies.
//
// +kubebuilder:object:root=true
type TrafficPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TrafficPolicy `json:"items"`
}

// TrafficPolicySpec attaches to one service of its own namespace, or is a default.
type TrafficPolicySpec struct {
	// TargetRef is the service. Without it the policy is the default of its namespace or, in Eastway's own namespace, of the cluster. A
	// service has one policy: its own, else its namespace's, else the cluster's. A policy for a Gateway or HTTPRoute has a rateLimit only,
	// which the entry applies.
	// +optional
	TargetRef TargetRef `json:"targetRef,omitzero"`
	// +optional
	OutlierDetection *OutlierDetection `json:"outlierDetection,omitempty"`
	// +optional
	LoadBalancer *LoadBalancer `json:"loadBalancer,omitempty"`
	// +optional
	ConnectionPool *ConnectionPool `json:"connectionPool,omitempty"`
	// +optional
	Retries *Retries `json:"retries,omitempty"`
	// Timeout of an HTTP request, all its tries included, until the end of its answer, 1ms to 24h; 0s, the default: none. It does not count
	// time in which the client is still sending. It follows Istio's field of HTTPRoute, and Envoy's route timeout.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// Scope is how far calls of the own cluster go: clusterset, the default, to all clusters; region only to endpoints in the caller's
	// region, of any cluster; cluster only to those of the own cluster. Peers' calls are not affected.
	// +optional
	// +kubebuilder:validation:Enum=clusterset;region;cluster
	Scope string `json:"scope,omitempty"`
	// RateLimit bounds the requests of HTTP, and the connections of other ports, that endpoints of the own cluster get.
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`
	// Capacity is what endpoints of the own cluster can take. Peers learn it.
	// +optional
	Capacity *Capacity `json:"capacity,omitempty"`
	// HealthCheck checks the endpoints of the own cluster. Those that fail get no calls unless all else failed, and are not ready for peers.
	// +optional
	HealthCheck *HealthCheck `json:"healthCheck,omitempty"`
	// PortLevelSettings are for single ports of the service, and replace all of the above there: what they do not set has its default.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	PortLevelSettings []PortSettings `json:"portLevelSettings,omitempty"`
}

// Values of TrafficPolicySpec.Scope.
const (
	ScopeClusterSet = "clusterset"
	ScopeRegion     = "region"
	ScopeCluster    = "cluster"
)

// PortSettings are those of one port. They follow Istio's message PortTrafficPolicy.
type PortSettings struct {
	Port PortSelector `json:"port"`
	// +optional
	OutlierDetection *OutlierDetection `json:"outlierDetection,omitempty"`
	// +optional
	LoadBalancer *LoadBalancer `json:"loadBalancer,omitempty"`
	// +optional
	ConnectionPool *ConnectionPool `json:"connectionPool,omitempty"`
	// +optional
	Retries *Retries `json:"retries,omitempty"`
	// Timeout is as in the policy itself.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// Scope is as in the policy itself.
	// +optional
	// +kubebuilder:validation:Enum=clusterset;region;cluster
	Scope string `json:"scope,omitempty"`
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`
	// +optional
	Capacity *Capacity `json:"capacity,omitempty"`
	// +optional
	HealthCheck *HealthCheck `json:"healthCheck,omitempty"`
}

// PortSelector names a port of the service.
type PortSelector struct {
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Number uint32 `json:"number"`
}

// ForPort is the policy of one port; p may be nil.
func (p *TrafficPolicySpec) ForPort(port uint16) *TrafficPolicySpec {
	if p != nil {
		for i := range p.PortLevelSettings {
			if p.PortLevelSettings[i].Port.Number == uint32(port) {
				return p.PortLevelSettings[i].spec()
			}
		}
	}
	return p
}

// spec are the settings as those of a policy.
func (p *PortSettings) spec() *TrafficPolicySpec {
	return &TrafficPolicySpec{
		OutlierDetection: p.OutlierDetection, LoadBalancer: p.LoadBalancer, ConnectionPool: p.ConnectionPool, Retries: p.Retries,
		Timeout: p.Timeout, Scope: p.Scope, RateLimit: p.RateLimit, Capacity: p.Capacity,
		HealthCheck: p.HealthCheck,
	}
}

// TargetRef is a Gateway API local policy target reference: a Service (group "" or "core"), a ServiceImport (group
// multicluster.x-k8s.io), or an ExternalService (group eastway.dev), each of which stands for the service of that name; or a Gateway or
// HTTPRoute (group gateway.networking.k8s.io).
type TargetRef struct {
	// +optional
	// +kubebuilder:validation:Enum="";core;multicluster.x-k8s.io;eastway.dev;gateway.networking.k8s.io
	Group string `json:"group,omitempty"`
	// +kubebuilder:validation:Enum=Service;ServiceImport;ExternalService;Gateway;HTTPRoute
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// IsZero is true for the target of a default.
func (t TargetRef) IsZero() bool { return t == TargetRef{} }

// OfEntry is true for a Gateway or HTTPRoute: the policy is for no service.
func (t TargetRef) OfEntry() bool { return t.Kind == KindGateway || t.Kind == KindRoute }

// Fits is true if a policy with this reference applies where a Service has its name, or an ExternalService. One of both is ignored then, the
// ExternalService. Where neither does, it is for what peers export, but not if it is for an ExternalService.
func (t TargetRef) Fits(service, external bool) bool {
	switch t.Kind {
	case KindGateway, KindRoute:
		return false
	case KindExternal:
		return external && !service
	case KindService:
		return service || !external
	default: // a default, or what peers export too
		return true
	}
}

// OutlierDetection ejects endpoints that fail. A nil field means the default (docs/policy.md). It follows Istio's message of that
// name; MaxEjectionTime is Envoy's.
type OutlierDetection struct {
	// SplitExternalLocalOriginErrors counts failed connects and missing answers apart from 5xx answers, by
	// consecutiveLocalOriginFailures; it is the default. If false, on HTTP ports they count as the 503 or 504 that a gateway answers. Other
	// ports are always split.
	// +optional
	SplitExternalLocalOriginErrors *bool `json:"splitExternalLocalOriginErrors,omitempty"`
	// ConsecutiveLocalOriginFailures is the number of consecutive failed connects, and on HTTP ports of missing answers, that ejects an
	// endpoint; 0 disables it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	ConsecutiveLocalOriginFailures *uint32 `json:"consecutiveLocalOriginFailures,omitempty"`
	// ConsecutiveGatewayErrors is the number of consecutive HTTP answers with status 502, 503 or 504 that ejects an endpoint; 0, the
	// default, disables it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	ConsecutiveGatewayErrors *uint32 `json:"consecutiveGatewayErrors,omitempty"`
	// Consecutive5xxErrors is the number of consecutive HTTP answers with a 5xx status that ejects an endpoint; 0 disables it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	Consecutive5xxErrors *uint32 `json:"consecutive5xxErrors,omitempty"`
	// ConsecutiveErrors is deprecated: consecutiveGatewayErrors, and no consecutive5xxErrors, unless these are set.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	ConsecutiveErrors *uint32 `json:"consecutiveErrors,omitempty"`
	// OutlierDetectionHTTPErrorCodes are the HTTP statuses that count as errors, instead of all 5xx.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=200
	// +kubebuilder:validation:items:Minimum=100
	// +kubebuilder:validation:items:Maximum=599
	OutlierDetectionHTTPErrorCodes []uint32 `json:"outlierDetectionHttpErrorCodes,omitempty"`
	// FailurePercentageThreshold is the share of an endpoint's HTTP answers in an interval that are errors and eject it, 1 to 100; 0, the
	// default, disables it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	FailurePercentageThreshold *uint32 `json:"failurePercentageThreshold,omitempty"`
	// Interval is the time between sweeps that probe ejected endpoints and end ejections, at least 100ms.
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`
	// BaseEjectionTime is multiplied by the number of times the endpoint has been ejected.
	// +optional
	BaseEjectionTime *metav1.Duration `json:"baseEjectionTime,omitempty"`
	// MaxEjectionTime bounds the product, at least baseEjectionTime.
	// +optional
	MaxEjectionTime *metav1.Duration `json:"maxEjectionTime,omitempty"`
	// MaxEjectionPercent of all the service's endpoints (a peer counts as one), 0 to 100; one always stays in rotation.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MaxEjectionPercent *int32 `json:"maxEjectionPercent,omitempty"`
	// MinHealthPercent of the service's endpoints, 0 to 100: while fewer are not ejected, ejected ones are used like all others.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MinHealthPercent *int32 `json:"minHealthPercent,omitempty"`
}

// LoadBalancer chooses among the endpoints.
type LoadBalancer struct {
	// Simple is LEAST_REQUEST, the default, ROUND_ROBIN or RANDOM. LEAST_CONN is deprecated: LEAST_REQUEST.
	// +optional
	// +kubebuilder:validation:Enum=LEAST_REQUEST;LEAST_CONN;ROUND_ROBIN;RANDOM
	Simple string `json:"simple,omitempty"`
	// ConsistentHash sends calls with the same key to the same endpoint, instead of Simple.
	// +optional
	ConsistentHash *ConsistentHash `json:"consistentHash,omitempty"`
	// Warmup raises the share of endpoints of the own cluster that have become ready.
	// +optional
	Warmup *Warmup `json:"warmup,omitempty"`
	// WarmupDurationSecs is deprecated: warmup.duration.
	// +optional
	WarmupDurationSecs *metav1.Duration `json:"warmupDurationSecs,omitempty"`
	// +optional
	LocalityLbSetting *LocalityLbSetting `json:"localityLbSetting,omitempty"`
}

// Warmup follows Istio's message of that name.
type Warmup struct {
	// Duration until the endpoint has its full share, 1s to 24h.
	Duration metav1.Duration `json:"duration"`
	// MinimumPercent of its full share is what it has at least, 0 to 100; 10 is the default.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MinimumPercent *int32 `json:"minimumPercent,omitempty"`
	// Aggression bends the growth: the share is (time since it became ready / duration) to the power of 1/aggression. 1, the default, is a
	// straight line; more gives more at first.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Aggression *float64 `json:"aggression,omitempty"`
}

// ConsistentHash has exactly one key. It follows Istio's message of that name.
type ConsistentHash struct {
	// HTTPHeaderName: requests of HTTP with the same value of that header.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	HTTPHeaderName string `json:"httpHeaderName,omitempty"`
	// HTTPCookie: requests of HTTP with the same value of that cookie.
	// +optional
	HTTPCookie *HTTPCookie `json:"httpCookie,omitempty"`
	// HTTPQueryParameterName: requests of HTTP with the same value of that parameter.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	HTTPQueryParameterName string `json:"httpQueryParameterName,omitempty"`
	// UseSourceIP: calls of the same address.
	// +optional
	UseSourceIP bool `json:"useSourceIp,omitempty"`
}

// HTTPCookie is a cookie that keeps the requests of a client together.
type HTTPCookie struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name"`
	// Path of a cookie that is set by Eastway.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Path string `json:"path,omitempty"`
	// TTL has clients without the cookie get one, that lasts so long; 0s: until the client ends its session. Without TTL they get none.
	// +optional
	TTL *metav1.Duration `json:"ttl,omitempty"`
}

// LocalityLbSetting follows Istio's message of that name. Other than there, Distribute can be combined with Failover and
// FailoverPriority, which order what Distribute gives no weight.
type LocalityLbSetting struct {
	// Enabled, if false, makes all endpoints of all clusters equal, wherever they are; the other fields then have no effect.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// Distribute divides the calls from one locality among localities by weight.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Distribute []LocalityDistribute `json:"distribute,omitempty"`
	// Failover lists, for callers in region From, the region to prefer among other regions.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Failover []LocalityFailover `json:"failover,omitempty"`
	// FailoverPriority are labels by which endpoints are ordered, instead of own cluster before others: first those that have
	// the caller's values of all labels, then those that have all but the last, and so on.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:Enum=topology.kubernetes.io/region;topology.kubernetes.io/zone;topology.istio.io/cluster
	FailoverPriority []string `json:"failoverPriority,omitempty"`
}

// LocalityDistribute divides the calls from one locality. A locality is REGION, REGION/*, REGION/ZONE, REGION/ZONE/* or *.
type LocalityDistribute struct {
	// From is the callers' locality.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	From string `json:"from"`
	// To has the weights of localities, which add up to 100. Localities without weight get no calls while one with weight is healthy.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	To map[string]uint32 `json:"to"`
}

// LocalityFailover is one From → To pair of regions.
type LocalityFailover struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	From string `json:"from"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	To string `json:"to"`
}

// ConnectionPool bounds connections.
type ConnectionPool struct {
	// +optional
	TCP *TCPSettings `json:"tcp,omitempty"`
	// +optional
	HTTP *HTTPSettings `json:"http,omitempty"`
}

// TCPSettings follows Istio's message of that name.
type TCPSettings struct {
	// MaxConnections to endpoints of the own cluster, of one proxy, for one port of the service; 0 is no limit.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxConnections *int32 `json:"maxConnections,omitempty"`
	// ConnectTimeout of one attempt, 1ms to 1m.
	// +optional
	ConnectTimeout *metav1.Duration `json:"connectTimeout,omitempty"`
	// IdleTimeout is how long a connection of a TCP port may carry no byte in either direction, 1s to 24h; the default is no limit.
	// +optional
	IdleTimeout *metav1.Duration `json:"idleTimeout,omitempty"`
}
