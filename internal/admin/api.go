package admin

import (
	"errors"
	"net/netip"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
)

// DefaultAddress is the default address of a proxy's admin listener.
const DefaultAddress = "127.0.0.1:15000"

// Paths of the listener; /debug/pprof/ lies beside them.
const (
	PathHealthz   = "/healthz"
	PathReadyz    = "/readyz"
	PathServingz  = "/servingz" // as PathReadyz, but also while the process drains
	PathMetrics   = "/metrics"
	PathStatus    = "/status"
	PathEndpoints = "/endpoints" // ?service=NAMESPACE/NAME
	PathProbe     = "/probe"     // as PathExplain, and &timeout=; POST only: the proxy makes a call
	PathExplain   = "/explain"   // as PathEndpoints, and &port=, &from=, &source=; the body of a POST is a request's head
	PathListeners = "/listeners"
	PathAuthz     = "/authz" // as PathEndpoints, and &from=PEER
)

// JSON is the content type of requests with effects in Config.More.
const JSON = "application/json"

// Errors of Client that callers decide on.
var (
	// ErrUnreachable: no proxy answered.
	ErrUnreachable = errors.New("cannot reach the admin listener")
	// ErrNoService: the proxy has no service of that name.
	ErrNoService = errors.New("no such service")
	// ErrNoPort: the service has no such port.
	ErrNoPort = errors.New("no such port")
	// ErrOlder: the proxy is of a release that has no such path.
	ErrOlder = errors.New("this proxy is of a release without this command: upgrade it")
)

// Status is the answer of PathStatus.
type Status struct {
	Cluster string `json:"cluster"`
	// Replica is this process among the proxies of its cluster.
	Replica  string          `json:"replica"`
	Version  string          `json:"version"`
	Region   string          `json:"region,omitempty"`
	Zone     string          `json:"zone,omitempty"`
	Started  time.Time       `json:"started"`
	Peers    []status.Peer   `json:"peers"`
	Services []ServiceStatus `json:"services"`
	// Limits are those of connections and streams.
	Limits []status.Limit `json:"limits,omitempty"`
	// Errors are the current problems, for the operator, e.g. manifests
	// that could not be read (their last good state is used).
	Errors []string `json:"errors,omitempty"`
}

// Listening adds what callers meet at the listeners: errors, and services of which ports are closed.
func (s *Status) Listening(all []status.Listener) {
	vacant := make(map[string][]netip.AddrPort)
	for i := range all {
		l := &all[i]
		if l.Error != "" {
			s.Errors = append(s.Errors, l.Error)
		}
		if l.Vacant {
			vacant[l.Service] = append(vacant[l.Service], l.Address)
		}
	}
	for i := range s.Services {
		v := &s.Services[i]
		v.Vacant = vacant[v.Namespace+"/"+v.Name]
	}
}

// ServiceStatus is one service as this proxy sees it.
type ServiceStatus struct {
	Namespace string                  `json:"namespace"`
	Name      string                  `json:"name"`
	Ports     []discovery.ServicePort `json:"ports"`
	Addresses []netip.Addr            `json:"addresses"`
	Exported  bool                    `json:"exported"`
	// LocalReady of LocalTotal endpoints in this cluster are ready and pass their health checks. Like those of Peers, the
	// counts are of the port with the fewest ready ones.
	LocalReady int `json:"localReady"`
	LocalTotal int `json:"localTotal"`
	// LocalMost are ready of the port with the most ready ones.
	LocalMost int             `json:"localMost,omitempty"`
	Peers     []PeerReadiness `json:"peers"`
	// Vacant are its addresses where callers are refused, because nothing can serve it.
	Vacant []netip.AddrPort `json:"vacant,omitempty"`
}

// PeerReadiness counts the endpoints of one peer.
type PeerReadiness struct {
	Peer  string `json:"peer"`
	Ready int    `json:"ready"`
	Total int    `json:"total"`
	// Most are ready of the port with the most ready ones.
	Most int `json:"most,omitempty"`
}

// ServiceEndpoints is the answer of PathEndpoints.
type ServiceEndpoints struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Endpoints []status.Endpoint `json:"endpoints"`
}

// ServiceExplanation is the answer of PathExplain.
type ServiceExplanation struct {
	Namespace string               `json:"namespace"`
	Name      string               `json:"name"`
	Ports     []status.Explanation `json:"ports"`
}

// Readiness is the answer of PathReadyz and PathServingz; the code is 503 unless Ready.
type Readiness struct {
	Ready   bool           `json:"ready"`
	Failing []FailingCheck `json:"failing,omitempty"`
}

// Listeners is the answer of PathListeners: what a node agent needs before it sends a proxy connections.
type Listeners struct {
	// Ready is as in Readiness.
	Ready bool `json:"ready"`
	// Listeners are those that are open, by port.
	Listeners []Listener `json:"listeners"`
}

// Listener is one open port for a service.
type Listener struct {
	Port    uint16 `json:"port"`
	Service string `json:"service"` // NAMESPACE/NAME
}

// FailingCheck is a Check that returned an error.
type FailingCheck struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// problem is the body of every other answer that is not 200.
type problem struct {
	Error string `json:"error"`
	// Reason is for programs: reasonNoService, reasonNoPort or reasonBadQuery.
	Reason string `json:"reason,omitempty"`
}

// reasonNoService distinguishes this 404 from that of another program's listener.
const reasonNoService = "no_such_service"

// reasonNoPort is that of a query about a port that the service does not have.
const reasonNoPort = "no_such_port"

// reasonBadQuery is that of a query which is wrong for the service.
const reasonBadQuery = "bad_query"
