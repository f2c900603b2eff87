package demo

import (
	"bytes"
	"fmt"
	"text/template"
	"time"
)

// The policy of every service: as in a walk-through of outlier detection with
// every endpoint of a service ejectable, but with times that fit a minute.
const (
	policyInterval = 500 * time.Millisecond
	// baseEjection is long enough that an endpoint is still ejected between its repair and
	// the fault that follows, and short enough to see traffic return.
	baseEjection = 3 * time.Second
	// maxEjectionPercent 100: all of a region's endpoints may be out, the other region is left.
	maxEjectionPercent = 100
)

// manifestsTemplate is what a user would write for one proxy. Each proxy listens on
// addresses of its own, so each has its own Services; the endpoints are those of the
// whole cluster.
const manifestsTemplate = `# Services of cluster {{.Zone.Cluster}} as {{.Proxy}} of zone {{.Zone.Name}} offers them.
{{- range .Services}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{.Name}}
  namespace: {{$.Namespace}}
spec:
  clusterIP: {{.VIP}} # the proxy listens here
  ports:
    - name: http
      port: {{$.Port}}
      protocol: TCP
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {{.Name}}-1
  namespace: {{$.Namespace}}
  labels:
    kubernetes.io/service-name: {{.Name}}
    topology.kubernetes.io/region: {{$.Zone.Region}}
addressType: IPv4
ports:
  - name: http
    port: {{$.Port}}
    protocol: TCP
endpoints:
{{- range .Endpoints}}
  - addresses: ["{{.IP}}"]
    zone: {{.Zone}}
    conditions:
      ready: true
{{- end}}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata:
  name: {{.Name}}
  namespace: {{$.Namespace}}
---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata:
  name: {{.Name}}
  namespace: {{$.Namespace}}
spec:
  targetRef:
    kind: Service
    name: {{.Name}}
  outlierDetection:
    splitExternalLocalOriginErrors: true
    consecutiveLocalOriginFailures: 1
    consecutive5xxErrors: 1
    interval: {{$.Interval}}
    baseEjectionTime: {{$.BaseEjection}}
    maxEjectionPercent: {{$.MaxEjectionPercent}}
{{- end}}
`

type manifestService struct {
	Name, VIP string
	Endpoints []manifestEndpoint
}

type manifestEndpoint struct{ IP, Zone string }

// manifests writes the configuration of a proxy of zone z, which is in cluster c.
func manifests(c cluster, z zone, proxy string) ([]byte, error) {
	var services []manifestService
	for _, role := range chain() {
		s := manifestService{Name: role, VIP: z.vip(proxy, role).Addr().String()}
		for _, other := range c.zones {
			s.Endpoints = append(s.Endpoints, manifestEndpoint{IP: other.app(role).Addr().String(), Zone: other.name})
		}
		services = append(services, s)
	}
	tmpl, err := template.New("manifests").Parse(manifestsTemplate)
	if err != nil {
		return nil, fmt.Errorf("template of the manifests: %w", err)
	}
	var out bytes.Buffer
	err = tmpl.Execute(&out, map[string]any{
		"Proxy":     proxy,
		"Zone":      map[string]string{"Cluster": z.cluster, "Region": z.region, "Name": z.name},
		"Services":  services,
		"Namespace": namespace, "Port": portApp,
		"Interval": policyInterval, "BaseEjection": baseEjection, "MaxEjectionPercent": maxEjectionPercent,
	})
	if err != nil {
		return nil, fmt.Errorf("manifests of %s: %w", z.name, err)
	}
	return out.Bytes(), nil
}
