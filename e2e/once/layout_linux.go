package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"text/template"
	"time"
)

// The clusters. Callers are in home, which only dials; the others are hit by faults in turn.
const (
	home = iota
	east
	west
	clusters
)

const (
	perCluster = 2 // proxies, and applications, of each cluster
	portHTTP1  = 8000
	portHTTP2  = 8001
	portTunnel = 7443
	portAdmin  = 15000
	namespace  = "default"
	// near has endpoints in all clusters, far in the peers alone.
	near = "near"
	far  = "far"
)

// Last octets of the addresses 127.77.CLUSTER.x of the first of each kind; the second follows.
const (
	hostProxy = 1
	hostApp   = 11
	hostNear  = 21
	hostFar   = 31
	hostRelay = 41
)

func clusterName(c int) string { return [clusters]string{"home", "east", "west"}[c] }

func at(c, host, n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 77, byte(c), byte(host + n)}) }

// entry is where callers of a service connect to proxy n of a cluster.
func entry(c, n int, service string, port uint16) netip.AddrPort {
	host := hostNear
	if service == far {
		host = hostFar
	}
	return netip.AddrPortFrom(at(c, host, n), port)
}

func proxyName(c, n int) string { return fmt.Sprintf("%s-proxy-%d", clusterName(c), n) }
func appName(c, n int) string   { return fmt.Sprintf("%s-app-%d", clusterName(c), n) }

// layout is where files are, beside those of the fleet.
type layout struct{ root string }

func (l layout) access(name string) string     { return filepath.Join(l.root, "logs", name+"-access.log") }
func (l layout) executions(name string) string { return filepath.Join(l.root, "executions", name) }

// services is the configuration that proxy n of a cluster has to itself: the addresses on which it listens.
const services = `{{range .Services}}---
apiVersion: v1
kind: Service
metadata: {name: {{.Name}}, namespace: {{$.Namespace}}}
spec:
  clusterIP: {{.Address}}
  ports:
  - {name: http, port: {{$.HTTP1}}, protocol: TCP}
  - {name: http2, port: {{$.HTTP2}}, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {{.Name}}-1
  namespace: {{$.Namespace}}
  labels: {kubernetes.io/service-name: {{.Name}}, topology.kubernetes.io/region: {{$.Region}}}
addressType: IPv4
ports:
- {name: http, port: {{$.HTTP1}}, protocol: TCP}
- {name: http2, port: {{$.HTTP1}}, protocol: TCP}
endpoints:
{{- range .Endpoints}}
- {addresses: ["{{.}}"], zone: {{$.Region}}, conditions: {ready: true}}
{{- end}}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: {{.Name}}, namespace: {{$.Namespace}}}
{{end}}`

type service struct {
	Name      string
	Address   netip.Addr
	Endpoints []netip.Addr
}

// servicesOf proxy n, with these applications as endpoints.
func servicesOf(c, n int, apps []int) ([]byte, error) {
	var endpoints []netip.Addr
	for _, a := range apps {
		endpoints = append(endpoints, at(c, hostApp, a))
	}
	offered := []service{
		{near, entry(c, n, near, portHTTP1).Addr(), endpoints},
		{far, entry(c, n, far, portHTTP1).Addr(), endpoints},
	}
	if c == home {
		offered[1].Endpoints = nil
	}
	var out bytes.Buffer
	err := template.Must(template.New("services").Parse(services)).Execute(&out, map[string]any{
		"Services": offered, "Namespace": namespace, "Region": clusterName(c), "HTTP1": portHTTP1, "HTTP2": portHTTP2,
	})
	return out.Bytes(), err
}

// policies draws settings that keep every promise.
func policies(draw *rand.Rand) []byte {
	pick := func(values ...string) string { return values[draw.IntN(len(values))] }
	var out bytes.Buffer
	for _, name := range []string{near, far} {
		fmt.Fprintf(&out, `---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: %s, namespace: %s}
spec:
  targetRef: {kind: Service, name: %s}
  outlierDetection: {consecutive5xxErrors: %s, consecutiveLocalOriginFailures: %s, interval: 1s, baseEjectionTime: %s}
  connectionPool: {http: {maxRequestsPerConnection: %s}}
  loadBalancer: {simple: %s}
  retries: {perTryTimeout: %s}
`, name, namespace, name, pick("1", "3", "5"), pick("1", "3"), pick("1s", "3s"), pick("0", "1", "100"),
			pick("LEAST_REQUEST", "ROUND_ROBIN", "RANDOM"), pick("0s", "2s", (5*time.Second).String()))
	}
	return out.Bytes()
}
