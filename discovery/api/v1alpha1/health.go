package v1alpha1

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// HealthCheck is an active check of each endpoint of the own cluster. It has exactly one of HTTP, TCP and GRPC. The fields are those of
// Envoy's message of that name (config.core.v3); Istio has none.
type HealthCheck struct {
	// HTTP makes a request of HTTP/1.1, without TLS.
	// +optional
	HTTP *HTTPHealthCheck `json:"http,omitempty"`
	// TCP makes a connection.
	// +optional
	TCP *TCPHealthCheck `json:"tcp,omitempty"`
	// GRPC calls the method Check of grpc.health.v1.Health, without TLS.
	// +optional
	GRPC *GRPCHealthCheck `json:"grpc,omitempty"`
	// Port of the endpoint's address that is checked; without it that on which the endpoint serves.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *uint32 `json:"port,omitempty"`
	// Interval between checks, 100ms to 1h; 10s is the default. A check may come up to a tenth earlier.
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`
	// Timeout of a check, 10ms to 1m; 1s is the default.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// UnhealthyThreshold is how many failed checks in a row make an endpoint unhealthy; 3 is the default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	UnhealthyThreshold *uint32 `json:"unhealthyThreshold,omitempty"`
	// HealthyThreshold is how many passed checks in a row make it healthy again; 2 is the default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	HealthyThreshold *uint32 `json:"healthyThreshold,omitempty"`
}

// HTTPHealthCheck is a request.
type HTTPHealthCheck struct {
	// Path of the request, with its query.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path"`
	// Host is the request's; without it the endpoint's address.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Host string `json:"host,omitempty"`
	// Method is GET, the default, or HEAD.
	// +optional
	// +kubebuilder:validation:Enum=GET;HEAD
	Method string `json:"method,omitempty"`
	// ExpectedStatuses pass: statuses such as 200, and ranges such as "200-299", which is the default.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	ExpectedStatuses []intstr.IntOrString `json:"expectedStatuses,omitempty"`
}

// TCPHealthCheck is a connection that is made and closed.
type TCPHealthCheck struct{}

// GRPCHealthCheck is a call of gRPC's health checking protocol.
type GRPCHealthCheck struct {
	// Service that is asked about; without it the server as a whole.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Service string `json:"service,omitempty"`
	// Authority of the call; without it the endpoint's address.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Authority string `json:"authority,omitempty"`
}

// ParseStatuses reads a status or a range of them.
func ParseStatuses(s intstr.IntOrString) (first, last int, err error) {
	from, to, isRange := strings.Cut(s.String(), "-")
	if first, err = strconv.Atoi(from); err == nil {
		if last = first; isRange {
			last, err = strconv.Atoi(to)
		}
	}
	if err != nil || first < MinExpectedStatus || last > MaxErrorCode || first > last {
		return 0, 0, fmt.Errorf("must be a status between %d and %d, or a range such as 200-299", MinExpectedStatus, MaxErrorCode)
	}
	return first, last, nil
}

func validateHealthCheck(at *field.Path, h *HealthCheck) field.ErrorList {
	var errs field.ErrorList
	kinds := 0
	for _, set := range []bool{h.HTTP != nil, h.TCP != nil, h.GRPC != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		errs = append(errs, field.Invalid(at, fmt.Sprintf("%d of http, tcp and grpc", kinds), "must have exactly one of http, tcp and grpc"))
	}
	if h.HTTP != nil {
		errs = append(errs, validateHTTPCheck(at.Child("http"), h.HTTP)...)
	}
	if h.GRPC != nil {
		if n := len(h.GRPC.Service); n > MaxHealthService {
			errs = append(errs, field.TooLong(at.Child("grpc", "service"), "", MaxHealthService))
		}
		errs = append(errs, authority(at.Child("grpc", "authority"), h.GRPC.Authority)...)
	}
	if p := h.Port; p != nil && (*p < 1 || *p > 65535) {
		errs = append(errs, field.Invalid(at.Child("port"), *p, "must be between 1 and 65535"))
	}
	return slices.Concat(errs,
		duration(at.Child("interval"), h.Interval, MinCheckInterval, MaxCheckInterval),
		duration(at.Child("timeout"), h.Timeout, MinCheckTimeout, MaxCheckTimeout),
		threshold(at.Child("unhealthyThreshold"), h.UnhealthyThreshold),
		threshold(at.Child("healthyThreshold"), h.HealthyThreshold),
	)
}

func validateHTTPCheck(at *field.Path, h *HTTPHealthCheck) field.ErrorList {
	var errs field.ErrorList
	switch _, err := url.ParseRequestURI(h.Path); {
	case h.Path == "":
		errs = append(errs, field.Required(at.Child("path"), "such as /healthz"))
	case len(h.Path) > MaxMatchValue:
		errs = append(errs, field.TooLong(at.Child("path"), "", MaxMatchValue))
	case h.Path[0] != '/' || err != nil || strings.ContainsAny(h.Path, "# "):
		errs = append(errs, field.Invalid(at.Child("path"), short(h.Path), "must be the path of a request, such as /healthz or /ready?full=1"))
	}
	errs = append(errs, authority(at.Child("host"), h.Host)...)
	if methods := []string{http.MethodGet, http.MethodHead}; h.Method != "" && !slices.Contains(methods, h.Method) {
		errs = append(errs, field.NotSupported(at.Child("method"), short(h.Method), methods))
	}
	if n := len(h.ExpectedStatuses); n > MaxExpectedStatuses {
		return append(errs, field.TooMany(at.Child("expectedStatuses"), n, MaxExpectedStatuses))
	}
	for i, s := range h.ExpectedStatuses {
		if _, _, err := ParseStatuses(s); err != nil {
			errs = append(errs, field.Invalid(at.Child("expectedStatuses").Index(i), short(s.String()), err.Error()))
		}
	}
	return errs
}

// authority checks a host with or without a port; it may be empty.
func authority(at *field.Path, host string) field.ErrorList {
	switch {
	case len(host) > MaxHashKey:
		return field.ErrorList{field.TooLong(at, "", MaxHashKey)}
	case !httpguts.ValidHostHeader(host) || strings.ContainsAny(host, "/@?#"):
		return field.ErrorList{field.Invalid(at, short(host), "must be a host, such as shop.example.com or shop:8080")}
	}
	return nil
}

func threshold(at *field.Path, n *uint32) field.ErrorList {
	if n == nil || *n >= 1 && *n <= MaxCheckThreshold {
		return nil
	}
	return field.ErrorList{field.Invalid(at, *n, fmt.Sprintf("must be between 1 and %d", MaxCheckThreshold))}
}
