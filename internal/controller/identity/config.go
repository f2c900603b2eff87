package identity

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/controller/apply"
)

const (
	// pollEvery is how often the Secrets are looked at: they are not watched, so that the controller's role need not
	// allow to list Secrets.
	pollEvery = 30 * time.Second
	// renewAt is the part of its life at which a certificate is renewed: half is left for retries.
	renewAt = 0.5
	// renewJitter is how much earlier or later, in parts of the life; so that the clusters of a fleet do not renew at once.
	renewJitter = 0.1
	// retryMin and retryMax bound the wait after an error.
	retryMin = time.Second
	retryMax = time.Minute
)

// Config of a Reconciler. Fields that are not marked optional are required.
type Config struct {
	// Cluster is the own name.
	Cluster string
	// TrustDomain of a CA that has to be made, and that one which is there must have; zero: of a new one the default
	// (NAME.eastway.internal), and any.
	TrustDomain spiffeid.TrustDomain
	// Namespace of the installation, and the objects' names there.
	Namespace                       string
	CASecret, SVIDSecret, ConfigMap string
	// NodeSecret is that of the node agents' certificate.
	NodeSecret string
	// PublicAddresses are HOST:PORT pairs at which peers reach this cluster; empty: those of TunnelServices.
	PublicAddresses []string
	TunnelServices  []string
	// Client reads Services and Nodes from caches, Direct reads Secrets and the ConfigMap from the API server.
	Client client.Reader
	Direct client.Reader
	Writer *apply.Writer
	// Holder takes the identity.
	Holder *Holder
	// Owner of what is made, so that it goes with the installation; optional.
	Owner *metav1.OwnerReference
	// TTL of certificates; 0 is certs.DefaultTTL.
	TTL time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Report takes what is wrong now, nil when nothing is; optional.
	Report func(error)
	// Events, Log and Registerer are optional.
	Events     record.EventRecorder
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Validate names the first field that is not usable.
func (c *Config) Validate() error {
	td, err := certs.DefaultTrustDomain(c.Cluster)
	if err != nil {
		return fmt.Errorf("identity: Config.Cluster: %w", err)
	}
	if _, err := certs.ClusterID(td, c.Cluster); err != nil {
		return fmt.Errorf("identity: Config.Cluster: %w", err)
	}
	for field, value := range map[string]string{
		"Namespace": c.Namespace, "CASecret": c.CASecret, "SVIDSecret": c.SVIDSecret, "NodeSecret": c.NodeSecret,
		"ConfigMap": c.ConfigMap,
	} {
		if value == "" {
			return fmt.Errorf("identity: Config.%s is required", field)
		}
	}
	switch {
	case c.CASecret == c.SVIDSecret:
		return errors.New("identity: Config.SVIDSecret must not be CASecret: the proxies must not have the CA's key")
	case c.NodeSecret == c.CASecret || c.NodeSecret == c.SVIDSecret:
		return errors.New("identity: Config.NodeSecret must be no other Secret: node agents must not have those keys")
	case c.Client == nil || c.Direct == nil || c.Writer == nil || c.Holder == nil:
		return errors.New("identity: Config.Client, Direct, Writer and Holder are required")
	}
	return nil
}

// metrics of the identity.
type metrics struct {
	svidExpiry, caExpiry, ok prometheus.Gauge
	renewals                 prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "eastway", Subsystem: "controller", Name: name, Help: help})
	}
	m := &metrics{
		svidExpiry: gauge("svid_expiry_timestamp_seconds", "Unix time when the certificate in the proxies' Secret expires; 0: not known."),
		caExpiry:   gauge("ca_expiry_timestamp_seconds", "Unix time when the cluster's CA expires; 0: not Eastway's, or not known."),
		ok:         gauge("identity_ok", "1 when CA, certificate and Peer manifest are valid and current."),
		renewals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eastway_controller_certificates_issued_total", Help: "Certificates issued for the cluster's proxies and node agents.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.svidExpiry, m.caExpiry, m.ok, m.renewals} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("identity: register metrics: %w", err)
		}
	}
	return m, nil
}
