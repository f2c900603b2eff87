package v1alpha1

import (
	"math"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// HTTPSettings follows Istio's message of that name. Each limit is that of one proxy, for one port of the service; 0 is no limit, but
// for HTTP1MaxPendingRequests.
type HTTPSettings struct {
	// HTTP2MaxRequests is how many requests may be under way at a time, of HTTP/1.1 too.
	// +optional
	// +kubebuilder:validation:Minimum=0
	HTTP2MaxRequests *int32 `json:"http2MaxRequests,omitempty"`
	// HTTP1MaxPendingRequests is how many requests may wait for a connection, of HTTP/2 too; the default, and 0, are 16384.
	// +optional
	// +kubebuilder:validation:Minimum=0
	HTTP1MaxPendingRequests *int32 `json:"http1MaxPendingRequests,omitempty"`
	// MaxRequestsPerConnection to an endpoint; 1 ends each connection after its request.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxRequestsPerConnection *int32 `json:"maxRequestsPerConnection,omitempty"`
	// MaxRetries is how many retries may be under way at a time, beside retries.budget.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxRetries *int32 `json:"maxRetries,omitempty"`
	// IdleTimeout is how long a connection to an endpoint is kept without requests, 1s to 24h; the default is 55s.
	// +optional
	IdleTimeout *metav1.Duration `json:"idleTimeout,omitempty"`
}

func validatePool(at *field.Path, p *ConnectionPool) field.ErrorList {
	var errs field.ErrorList
	if p.TCP != nil {
		errs = slices.Concat(
			within(at.Child("tcp", "maxConnections"), p.TCP.MaxConnections, math.MaxInt32),
			duration(at.Child("tcp", "connectTimeout"), p.TCP.ConnectTimeout, MinConnectTimeout, MaxConnectTimeout),
			duration(at.Child("tcp", "idleTimeout"), p.TCP.IdleTimeout, MinIdleTimeout, MaxTimeout),
		)
	}
	h := p.HTTP
	if h == nil {
		return errs
	}
	at = at.Child("http")
	return slices.Concat(errs,
		within(at.Child("http2MaxRequests"), h.HTTP2MaxRequests, math.MaxInt32),
		within(at.Child("http1MaxPendingRequests"), h.HTTP1MaxPendingRequests, math.MaxInt32),
		within(at.Child("maxRequestsPerConnection"), h.MaxRequestsPerConnection, math.MaxInt32),
		within(at.Child("maxRetries"), h.MaxRetries, math.MaxInt32),
		duration(at.Child("idleTimeout"), h.IdleTimeout, MinIdleTimeout, MaxTimeout),
	)
}
