package istio

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Group is the API group of the kinds.
const Group = "networking.istio.io"

// The kinds.
const (
	KindRule  = "DestinationRule"
	KindEntry = "ServiceEntry"
	KindRoute = "VirtualService"
)

// Kinds has, for each apiVersion and kind, what an object is decoded into. All versions have the same fields.
func Kinds() map[metav1.TypeMeta]func() metav1.Object {
	kinds := map[metav1.TypeMeta]func() metav1.Object{}
	for _, version := range []string{"v1", "v1beta1", "v1alpha3"} {
		at := Group + "/" + version
		kinds[metav1.TypeMeta{APIVersion: at, Kind: KindRule}] = func() metav1.Object { return &DestinationRule{} }
		kinds[metav1.TypeMeta{APIVersion: at, Kind: KindEntry}] = func() metav1.Object { return &ServiceEntry{} }
		kinds[metav1.TypeMeta{APIVersion: at, Kind: KindRoute}] = func() metav1.Object { return &VirtualService{} }
	}
	return kinds
}

// DestinationRule is Istio's.
type DestinationRule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              RuleSpec `json:"spec"`
	Status            any      `json:"status,omitempty"`
}

// RuleSpec is Istio's message DestinationRule. What is not here is in unsupported.
type RuleSpec struct {
	Host          string         `json:"host"`
	TrafficPolicy *TrafficPolicy `json:"trafficPolicy,omitempty"`
	ExportTo      []string       `json:"exportTo,omitempty"`
}

// TrafficPolicy is Istio's message of that name. Where a message of Eastway follows Istio's, it stands for both.
type TrafficPolicy struct {
	LoadBalancer      *v1alpha1.LoadBalancer     `json:"loadBalancer,omitempty"`
	ConnectionPool    *v1alpha1.ConnectionPool   `json:"connectionPool,omitempty"`
	OutlierDetection  *v1alpha1.OutlierDetection `json:"outlierDetection,omitempty"`
	TLS               *TLS                       `json:"tls,omitempty"`
	PortLevelSettings []PortPolicy               `json:"portLevelSettings,omitempty"`
	RetryBudget       *RetryBudget               `json:"retryBudget,omitempty"`
}

// PortPolicy is Istio's message PortTrafficPolicy.
type PortPolicy struct {
	Port             v1alpha1.PortSelector      `json:"port"`
	LoadBalancer     *v1alpha1.LoadBalancer     `json:"loadBalancer,omitempty"`
	ConnectionPool   *v1alpha1.ConnectionPool   `json:"connectionPool,omitempty"`
	OutlierDetection *v1alpha1.OutlierDetection `json:"outlierDetection,omitempty"`
	TLS              *TLS                       `json:"tls,omitempty"`
}

// TLS is Istio's message ClientTLSSettings.
type TLS struct {
	Mode              string   `json:"mode,omitempty"`
	SNI               string   `json:"sni,omitempty"`
	SubjectAltNames   []string `json:"subjectAltNames,omitempty"`
	CACertificates    string   `json:"caCertificates,omitempty"`
	ClientCertificate string   `json:"clientCertificate,omitempty"`
	PrivateKey        string   `json:"privateKey,omitempty"`
	CredentialName    string   `json:"credentialName,omitempty"`
}

// RetryBudget is Istio's message of that name.
type RetryBudget struct {
	Percent             *float64 `json:"percent,omitempty"`
	MinRetryConcurrency *uint32  `json:"minRetryConcurrency,omitempty"`
}

// ServiceEntry is Istio's.
type ServiceEntry struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              EntrySpec `json:"spec"`
	Status            any       `json:"status,omitempty"`
}

// EntrySpec is Istio's message ServiceEntry. What is not here is in unsupported.
type EntrySpec struct {
	Hosts           []string                `json:"hosts"`
	Addresses       []string                `json:"addresses,omitempty"`
	Ports           []v1alpha1.ExternalPort `json:"ports,omitempty"`
	Location        string                  `json:"location,omitempty"`
	Resolution      string                  `json:"resolution,omitempty"`
	Endpoints       []Endpoint              `json:"endpoints,omitempty"`
	ExportTo        []string                `json:"exportTo,omitempty"`
	SubjectAltNames []string                `json:"subjectAltNames,omitempty"`
}

// Endpoint is Istio's message WorkloadEntry.
type Endpoint struct {
	Address  string            `json:"address,omitempty"`
	Ports    map[string]uint32 `json:"ports,omitempty"`
	Locality string            `json:"locality,omitempty"`
	Weight   uint32            `json:"weight,omitempty"`
}

// VirtualService is Istio's.
type VirtualService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              RouteSpec `json:"spec"`
	Status            any       `json:"status,omitempty"`
}

// RouteSpec is Istio's message VirtualService.
type RouteSpec struct {
	Hosts    []string    `json:"hosts"`
	Gateways []string    `json:"gateways,omitempty"`
	HTTP     []HTTPRoute `json:"http,omitempty"`
	TCP      []L4Route   `json:"tcp,omitempty"`
	TLS      []L4Route   `json:"tls,omitempty"`
	ExportTo []string    `json:"exportTo,omitempty"`
}

// HTTPRoute is Istio's message of that name. What is not here is in unsupported.
type HTTPRoute struct {
	Name    string           `json:"name,omitempty"`
	Match   []any            `json:"match,omitempty"`
	Route   []Share          `json:"route,omitempty"`
	Retries *HTTPRetry       `json:"retries,omitempty"`
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// L4Route is Istio's messages TCPRoute and TLSRoute.
type L4Route struct {
	Match []any   `json:"match,omitempty"`
	Route []Share `json:"route,omitempty"`
}

// Share is Istio's messages HTTPRouteDestination and RouteDestination.
type Share struct {
	Destination Destination `json:"destination"`
	Weight      int32       `json:"weight,omitempty"`
}

// Destination is Istio's message of that name.
type Destination struct {
	Host   string                 `json:"host"`
	Subset string                 `json:"subset,omitempty"`
	Port   *v1alpha1.PortSelector `json:"port,omitempty"`
}

// HTTPRetry is Istio's message of that name.
type HTTPRetry struct {
	Attempts      int32            `json:"attempts,omitempty"`
	PerTryTimeout *metav1.Duration `json:"perTryTimeout,omitempty"`
	RetryOn       string           `json:"retryOn,omitempty"`
	Backoff       *metav1.Duration `json:"backoff,omitempty"`
}
