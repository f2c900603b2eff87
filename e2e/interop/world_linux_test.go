package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tunnelPort  = "15443"
	adminPort   = "15000"
	servicePort = "8000"
	namespace   = "default"
)

// cluster has one proxy.
type cluster struct{ name, dir, ip string }

func (c cluster) admin() string { return net.JoinHostPort(c.ip, adminPort) }

// service has its endpoint in the cluster far; callers in near reach it through both proxies.
type service struct {
	name string
	// protocol is the port's appProtocol.
	protocol string
	// endpoint is HOST:PORT; others are more of them, with the same port. "": there is none, anywhere.
	endpoint string
	others   []string
	// annotation is one of the Service in far, policy the spec of its TrafficPolicy there, in YAML's flow style; "": none.
	annotation, policy string
	// near and far are where the proxies listen for it.
	near, far string
}

// world is two clusters.
type world struct {
	dir, eastway string
	near, far    cluster
	// accessLog is a file in each cluster's directory; "": none.
	accessLog string
	// proxies are that of near and that of far.
	proxies [2]*process
}

var lastAddress atomic.Uint32

// newAddress is a loopback address that nothing else uses: neither another test nor another process' tests.
func newAddress() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>8&63, pid&255, 1+lastAddress.Add(1)%254)
}

// newService is one with that endpoint.
func newService(name, protocol, endpoint string) service {
	return service{
		name: name, protocol: protocol, endpoint: endpoint,
		near: net.JoinHostPort(newAddress(), servicePort), far: net.JoinHostPort(newAddress(), servicePort),
	}
}

// newWorld runs a proxy in each cluster until the test ends, and returns when calls from near reach far.
func newWorld(t testing.TB, services ...service) *world {
	t.Helper()
	w := &world{accessLog: "access.log"}
	w.up(t, services...)
	return w
}

// up makes the world and runs it.
func (w *world) up(t testing.TB, services ...service) {
	t.Helper()
	w.dir = t.TempDir()
	w.eastway = filepath.Join(w.dir, "eastway")
	// Another process has to write it: one that this process forks meanwhile would hold the file open, and it could not be run.
	output(t, "", "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", w.eastway, "github.com/eastway/eastway/cmd/eastway")
	w.near, w.far = w.newCluster(t, "near"), w.newCluster(t, "far")
	w.trust(t, w.near, w.far)
	w.trust(t, w.far, w.near)
	for _, s := range services {
		must(t, os.WriteFile(filepath.Join(w.near.dir, "config", s.name+".yaml"), []byte(s.manifest(s.near, "")), 0o600))
		must(t, os.WriteFile(filepath.Join(w.far.dir, "config", s.name+".yaml"), []byte(s.manifest(s.far, s.annotation)+s.export()), 0o600))
	}
	far := w.run(t, w.far)
	near := w.run(t, w.near)
	w.proxies = [...]*process{near, far}
	for _, c := range []struct {
		cluster
		*process
	}{{w.far, far}, {w.near, near}} {
		w.await(t, c.cluster, c.process, services)
	}
}

func (w *world) newCluster(t testing.TB, name string) cluster {
	t.Helper()
	c := cluster{name: name, dir: filepath.Join(w.dir, name), ip: newAddress()}
	must(t, os.MkdirAll(filepath.Join(c.dir, "config"), 0o700))
	output(t, "", w.eastway, "certs", "init", "--dir", filepath.Join(c.dir, "ca"), "--cluster", name)
	return c
}

// trust makes other a peer of c.
func (w *world) trust(t testing.TB, c, other cluster) {
	t.Helper()
	peer := output(t, "", w.eastway, "peer", "export", "--cluster", other.name, "--ca", filepath.Join(other.dir, "ca"),
		"--address", net.JoinHostPort(other.ip, tunnelPort))
	file := filepath.Join(c.dir, "peer-"+other.name+".yaml")
	must(t, os.WriteFile(file, []byte(peer), 0o600))
	output(t, "", w.eastway, "peer", "import", file, "--config", filepath.Join(c.dir, "config"), "--cluster", c.name)
}

// run runs the cluster's proxy.
func (w *world) run(t testing.TB, c cluster) *process {
	t.Helper()
	accessLog := w.accessLog
	if accessLog != "" {
		accessLog = filepath.Join(c.dir, accessLog)
	}
	return start(t, c.dir, "proxy-"+c.name, w.eastway, "proxy", "--cluster", c.name, "--region", "region-"+c.name, "--zone", c.name+"-1",
		"--config", filepath.Join(c.dir, "config"), "--ca", filepath.Join(c.dir, "ca"), "--state", filepath.Join(c.dir, "state"),
		"--listen", net.JoinHostPort(c.ip, tunnelPort), "--admin", c.admin(), "--access-log", accessLog,
		"--drain-timeout", "0s")
}

// await waits until all services have a healthy endpoint, or peer, there.
func (w *world) await(t testing.TB, c cluster, p *process, services []service) {
	t.Helper()
	client, err := admin.NewClient(c.admin())
	must(t, err)
	defer client.Close()
	for _, s := range services {
		if s.endpoint == "" {
			continue
		}
		eventually(t, c.name+" can call "+s.name, p, func() error {
			found, err := client.Endpoints(t.Context(), namespace, s.name)
			if err != nil {
				return err
			}
			for i := range found.Endpoints {
				if found.Endpoints[i].Status == status.Healthy {
					return nil
				}
			}
			return fmt.Errorf("endpoints: %+v", found.Endpoints)
		})
	}
}

// manifest is a Service on that address, without endpoints, that peers may answer.
func (s *service) manifest(at, annotation string) string {
	ip, port, _ := net.SplitHostPort(at)
	if annotation != "" {
		annotation = ", " + annotation
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s, annotations: {eastway.dev/takeover: "true"%s}}
spec:
  clusterIP: %s
  ports: [{name: port, port: %s, appProtocol: %s}]
`, s.name, namespace, annotation, ip, port, s.protocol)
}

// export offers the Service to peers, with its endpoints.
func (s *service) export() string {
	var b strings.Builder
	fmt.Fprintf(&b, `---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: %[1]s, namespace: %[2]s}
`, s.name, namespace)
	if s.policy != "" {
		fmt.Fprintf(&b, `---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: %[1]s, namespace: %[2]s}
spec: {targetRef: {group: "", kind: Service, name: %[1]s}, %[3]s}
`, s.name, namespace, s.policy)
	}
	if s.endpoint == "" {
		return b.String()
	}
	ip, port, _ := net.SplitHostPort(s.endpoint)
	fmt.Fprintf(&b, `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: %[1]s-1
  namespace: %[2]s
  labels: {kubernetes.io/service-name: %[1]s}
addressType: IPv4
ports: [{name: port, port: %[4]s}]
endpoints:
- {addresses: [%[3]s], zone: far-1}
`, s.name, namespace, ip, port)
	for _, o := range s.others {
		ip, _, _ := net.SplitHostPort(o)
		fmt.Fprintf(&b, "- {addresses: [%s], zone: far-1}\n", ip)
	}
	return b.String()
}

// metric is the sum of a counter's samples that have all these labels.
func (w *world) metric(t *testing.T, c cluster, name string, labels ...string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(get(t, "http://"+c.admin()+admin.PathMetrics)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, _, _ := strings.Cut(series, "{"); n != name {
			continue
		}
		matches := true
		for _, l := range labels {
			matches = matches && strings.Contains(series, l)
		}
		var v float64
		if _, err := fmt.Sscan(value, &v); err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		if matches {
			sum += v
		}
	}
	return sum
}
