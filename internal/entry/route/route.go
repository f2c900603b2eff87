package route

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// ControllerName is that of Eastway's GatewayClasses.
const ControllerName gatewayv1.GatewayController = "eastway.dev/entry"

// DefaultClass is the GatewayClass that is Eastway's if there is no object of that name.
const DefaultClass = "eastway"

// Manifests are the objects that a process serves, in any order. They are not changed, and must not change while the Table is in use.
type Manifests struct {
	Classes  []*gatewayv1.GatewayClass
	Gateways []*gatewayv1.Gateway // all that one process serves
	// Bindings are the ports of the process on which each Gateway's ports are. Nil: they are the same, and Gateways share them. Else a port
	// that is not there is not served, and Gateways are apart.
	Bindings map[types.NamespacedName]Binding
	Routes   []*gatewayv1.HTTPRoute
	// GRPCRoutes are routes too.
	GRPCRoutes []*gatewayv1.GRPCRoute
	Grants     []*gatewayv1.ReferenceGrant
	// Namespaces are the labels of each namespace. kubernetes.io/metadata.name is there without being named.
	Namespaces map[string]map[string]string
	Services   []*corev1.Service
	Slices     []*discoveryv1.EndpointSlice // of headless Services; others are not used
	Imports    []*mcsv1beta1.ServiceImport
	Secrets    []*corev1.Secret // of type kubernetes.io/tls; others are not used
	// TLSPolicies say which backends are called by TLS, and name ConfigMaps; others of these are not used.
	TLSPolicies []*gatewayv1.BackendTLSPolicy
	ConfigMaps  []*corev1.ConfigMap
	Policies    []*v1alpha1.TrafficPolicy // those with a Gateway or HTTPRoute as target; others are not used
}

// Binding has the port of the process for each port of a Gateway's listeners.
type Binding map[int32]uint16

// Status is what the status of each object should say. Conditions have no LastTransitionTime, and their order is fixed.
type Status struct {
	Classes  map[string][]metav1.Condition
	Gateways map[types.NamespacedName]gatewayv1.GatewayStatus
	Routes   map[types.NamespacedName][]gatewayv1.RouteParentStatus // of HTTPRoutes
	// GRPCRoutes have the same.
	GRPCRoutes map[types.NamespacedName][]gatewayv1.RouteParentStatus
	// TLSPolicies are all; those whose targets no route calls have no ancestor.
	TLSPolicies map[types.NamespacedName][]gatewayv1.PolicyAncestorStatus
}

// Port is one on which a process listens.
type Port struct {
	Number    uint16      // of the process
	TLS       bool        // for all of its listeners, or for none
	Owner     types.UID   // of the Gateway, where each has ports of its own; else empty
	Listeners []*Listener // those that are programmed
}

// Listener is one of a Gateway that is programmed.
type Listener struct {
	Gateway      types.NamespacedName
	Name         string
	Port         uint16 // of the manifest: the one that clients know
	TLS          bool
	Hostname     string // lower case; may begin with "*."; empty: any
	Certificates []*Certificate
	Client       *Certificate // for backends with TLS that ask for one; nil: none
	Clients      *ClientAuth  // nil: they show no certificate

	routes byHost[*index]
	limits []*Limit
}

// Certificate is one of a listener.
type Certificate struct {
	Secret types.NamespacedName
	Pair   *tls.Certificate // its Leaf is set
	Key    string           // the same for the same certificates, in the next Table too
}

// ClientAuth is what clients of a listener with TLS have to prove.
type ClientAuth struct {
	Roots *x509.CertPool // of their certificates; the same in the next Table if the certificates are
	// Optional: they are let in without a certificate, or with any, and the backend decides.
	Optional bool
}

// Timeouts of a request that is forwarded; zero: none.
type Timeouts struct {
	Request        time.Duration // from the request's header to the end of its answer
	BackendRequest time.Duration // of one try at the backend
}

// Decision is what to do with a request. Its slices are shared: they must not be changed.
type Decision struct {
	Kind Kind
	// Status is the answer's, unless the request is forwarded.
	Status int
	// Reason of a refusal, for the log and a metric's label.
	Reason Reason
	// Message of a refusal for the log, not for clients: what is wrong, and what to do about it.
	Message string
	// Location of a redirect.
	Location string

	Listener *Listener // nil if there is none for the host
	Rule     *RuleID   // nil if no rule matches

	// Backend, Host, Path, Request, Timeouts and Mirrors are those of a request that is forwarded.
	Backend *Backend
	Host    string // replaces the request's Host; empty: it stays
	// Path replaces the request's escaped path; empty: it stays. The query stays.
	Path     string
	Request  []Edit
	Timeouts Timeouts
	Mirrors  []*Backend

	// Response are the edits of the answer, of those too that the process makes itself.
	Response []Edit
	// Seen is the request's path as routes match it, without escapes but for %2F, for rate limits to match the same; empty if there are none.
	Seen string
	// Limits all count the request, whatever its Kind: those of the Gateway, and of the route if it matched one.
	Limits []*Limit
}

// Kind of a Decision.
type Kind uint8

// Kinds.
const (
	Refuse    Kind = iota // answer Status; the body may be Message
	Redirect              // answer Status with Location
	Preflight             // answer a CORS preflight request: Status, the edits of Response, no body
	Forward               // send the request to Backend
)

// Reason of a refusal, fit for a metric's label.
type Reason string

// Reasons.
const (
	ReasonBadHost        Reason = "bad_host"        // 400: no host, or none that a name or an address can be
	ReasonBadPath        Reason = "bad_path"        // 400: a path that a backend may take for another one
	ReasonTooLong        Reason = "too_long"        // 414: the path; 431: a header or query parameter that a regular expression is for
	ReasonMethod         Reason = "method"          // 405: CONNECT
	ReasonNoListener     Reason = "no_listener"     // 404: no listener for the host
	ReasonNoRoute        Reason = "no_route"        // 404: no rule for the request
	ReasonMisdirected    Reason = "misdirected"     // 421: the host is that of another listener than the connection's
	ReasonInvalidBackend Reason = "invalid_backend" // 500: the rule's backend does not exist, or must not be used
	ReasonInvalidFilter  Reason = "invalid_filter"  // 500: the rule has a filter that cannot be applied
	ReasonInvalidTLS     Reason = "invalid_tls"     // 500: the backend has a BackendTLSPolicy that is not valid
	ReasonNoEndpoint     Reason = "no_endpoint"     // 503: the rule's backend is a headless Service without an endpoint that is ready
)

// RuleID identifies a rule of a route. Pointers to it are comparable within a Table.
type RuleID struct {
	Kind  string // HTTPRoute or GRPCRoute
	Route types.NamespacedName
	Index int
	Name  string // of the rule, or empty
}

// Backend is where requests go.
type Backend struct {
	Address   string     // host:port; empty: one of Endpoints
	Endpoints *Endpoints // of a headless Service; nil: Address
	Protocol  Protocol
	Kind      string // Service or ServiceImport
	Service   types.NamespacedName
	Port      uint16
	TLS       *BackendTLS // nil: in clear

	broken string // why it must not be called
}

// Protocol with which a backend is called.
type Protocol uint8

// Protocols.
const (
	HTTP1 Protocol = iota // HTTP/1.1, WebSocket too
	H2C                   // HTTP/2 with prior knowledge
)

// Edit is one change of a message's headers; they apply in order. Names are canonical.
type Edit struct {
	Op    Op
	Name  string
	Value string // empty for Remove
}

// Op is what an Edit does.
type Op uint8

// Ops.
const (
	Set    Op = iota // replace all values of the header
	Add              // append a value
	Remove           // remove all values
)

// Limit is a rate limit that counts a request. Pointers are comparable within a Table; Key names the same limit in the next one.
type Limit struct {
	Key  string // of the TrafficPolicy: its namespace/name
	Rate *v1alpha1.RateLimit
}
