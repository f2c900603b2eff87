package config

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// APIVersion of the kinds.
const APIVersion = "eastway.dev/v1alpha1"

// The kinds.
const (
	KindZone = "DNSZone"
	KindName = "GlobalName"
)

// DNSZone is a domain that its parent delegates to this server: its metadata.name.
type DNSZone struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              DNSZoneSpec `json:"spec"`
}

// DNSZoneSpec is that of a DNSZone.
type DNSZoneSpec struct {
	// NameServers are the zone's NS records, those of the delegation.
	NameServers []NameServer `json:"nameServers"`
	// Hostmaster is the mail address in the SOA record; default: hostmaster@ZONE.
	Hostmaster string `json:"hostmaster,omitempty"`
	// NegativeTTL is how long resolvers remember that something is not there.
	NegativeTTL metav1.Duration `json:"negativeTTL,omitempty"`
}

// NameServer is one server of a zone.
type NameServer struct {
	Name string `json:"name"`
	// Addresses are needed for a name within the zone, and only there.
	Addresses []string `json:"addresses,omitempty"`
}

// GlobalName is a name, its metadata.name, that is answered with the addresses of entries that can serve.
type GlobalName struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              GlobalNameSpec `json:"spec"`
}

// GlobalNameSpec is that of a GlobalName.
type GlobalNameSpec struct {
	TTL      metav1.Duration `json:"ttl,omitempty"`
	Strategy string          `json:"strategy,omitempty"`
	// Entries are in the order of their priority.
	Entries []Entry `json:"entries"`
	// Services, as NAMESPACE/NAME, must have a ready endpoint in an entry's cluster.
	Services []string `json:"services,omitempty"`
	Probe    Probe    `json:"probe"`
	// Geo has the regions of clients, for the strategy geo.
	Geo []GeoRule `json:"geo,omitempty"`
}

// Entry is one cluster's way in: addresses, or a name that has them.
type Entry struct {
	// Cluster is its name as peers know it.
	Cluster   string   `json:"cluster"`
	Region    string   `json:"region,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Hostname  string   `json:"hostname,omitempty"`
	Weight    *int     `json:"weight,omitempty"`
	// Service is the entry itself, as NAMESPACE/NAME, of which the cluster reports how many endpoints are ready.
	Service string `json:"service,omitempty"`
}

// Probe is how addresses are probed, from here.
type Probe struct {
	Scheme string `json:"scheme"`
	Port   int    `json:"port,omitempty"`
	// Host is the Host header and the name in the certificate; default: the GlobalName.
	Host string `json:"host,omitempty"`
	Path string `json:"path,omitempty"`
	// CABundle has the roots that certificates lead to, in PEM; default: those of this host.
	CABundle           string          `json:"caBundle,omitempty"`
	Interval           metav1.Duration `json:"interval,omitempty"`
	Timeout            metav1.Duration `json:"timeout,omitempty"`
	UnhealthyThreshold int             `json:"unhealthyThreshold,omitempty"`
	HealthyThreshold   int             `json:"healthyThreshold,omitempty"`
}

// GeoRule is where the clients in a prefix are.
type GeoRule struct {
	CIDR   string `json:"cidr"`
	Region string `json:"region"`
}
