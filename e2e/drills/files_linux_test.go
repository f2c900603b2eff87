package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/loopback"
	"github.com/eastway/eastway/internal/admin"
)

// TestFileMode runs the drills that need no Kubernetes with processes, on two stages at a time. It needs no root.
func TestFileMode(t *testing.T) {
	t.Parallel()
	type drill struct {
		name string
		run  func(stage, *testing.T)
	}
	for i, drills := range [][]drill{
		{{"service failure", serviceFails}, {"service answers 503", serviceAnswers503}},
		{{"bookinfo", bookinfo}, {"one gateway", gateway}, {"external service", externalService}, {deadRegion, regionLost}},
	} {
		t.Run(fmt.Sprintf("stage %d", i+1), func(t *testing.T) {
			t.Parallel()
			f := newFiles(t, i)
			if err := deployChain(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			for _, drill := range drills {
				t.Run(drill.name, func(t *testing.T) { drill.run(f, t) })
			}
		})
	}
}

// files is the stage without Kubernetes: each proxy reads a directory of manifests, and is a process on a loopback address, as the
// applications are. What Kubernetes does with the drills' manifests, the stage does in the simplest way: it gives Services
// addresses, runs what Deployments have, and writes EndpointSlices.
type files struct {
	dir      string
	fleet    *loopback.Fleet
	clusters []*fileCluster
	// vips are the names that have an address at each proxy; their order gives it.
	vips []string
}

// fileCluster is one cluster of the stage.
type fileCluster struct {
	*site
	*loopback.Cluster
	// stage is the number of the stage, number that of the cluster: they make its addresses.
	stage, number int

	objects objects
	// workloads by name, and the files of ConfigMaps.
	workloads map[string]*workload
	configs   map[string]map[string]string
	written   map[string]string // content by proxy and file
}

// shortStreams last so many seconds.
const shortStreams = 20

// tunnelPort and adminPort of all proxies.
const (
	tunnelPort = 15443
	adminPort  = 15000
)

// newFiles runs the proxies until the test ends.
func newFiles(t *testing.T, number int) *files {
	t.Helper()
	ctx := t.Context()
	dir, err := filepath.Abs(filepath.Join("..", "..", "bin", "e2e", name()))
	if err != nil {
		t.Fatal(err)
	}
	f := &files{dir: dir}
	at := filepath.Join(dir, fmt.Sprintf("file-mode-%d", number+1))
	if err := os.RemoveAll(at); err != nil {
		t.Fatal(err)
	}
	if f.fleet, err = loopback.NewFleet(ctx, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.fleet.Close()
		if !t.Failed() && os.Getenv(keepVariable) == "" {
			_ = os.RemoveAll(at) // with its keys
		}
	})
	if err := f.fleet.Build(ctx, "e2e/apps/mock"); err != nil {
		t.Fatal(err)
	}
	for i, s := range []*site{
		{"cluster-1", homeRegion, []string{"cn-hangzhou-h", "cn-hangzhou-k"}, shortStreams},
		{"cluster-2", "ap-northeast-1", []string{"ap-northeast-1a", "ap-northeast-1b"}, shortStreams},
	} {
		f.clusters = append(f.clusters, newFileCluster(f.fleet, number, i, s))
	}
	if err := f.start(ctx); err != nil {
		t.Fatal(err)
	}
	return f
}

func newFileCluster(fleet *loopback.Fleet, stage, number int, s *site) *fileCluster {
	c := &fileCluster{
		site: s, Cluster: &loopback.Cluster{Name: s.Name}, stage: stage, number: number,
		objects: make(objects), workloads: make(map[string]*workload),
		configs: make(map[string]map[string]string), written: make(map[string]string),
	}
	for _, zone := range s.Zones {
		ip := c.address(zone, proxyHost)
		p := &loopback.Proxy{
			Name: "proxy-" + zone, Region: s.Region, Zone: zone, Listen: fmt.Sprintf("%v:%d", ip, tunnelPort),
			Admin: fmt.Sprintf("%v:%d", ip, adminPort),
		}
		p.AccessLog = fleet.Log(p.Name + "-access")
		c.Proxies = append(c.Proxies, p)
		c.Addresses = append(c.Addresses, p.Listen)
	}
	return c
}

// start makes the clusters peers and runs their proxies.
func (f *files) start(ctx context.Context) error {
	for _, c := range f.clusters {
		if err := f.fleet.Found(ctx, c.Cluster); err != nil {
			return err
		}
	}
	for i, c := range f.clusters {
		if err := f.fleet.Trust(ctx, c.Cluster, f.clusters[1-i].Cluster); err != nil {
			return err
		}
	}
	if err := f.sync(); err != nil {
		return err
	}
	for _, c := range f.clusters {
		for _, p := range c.Proxies {
			if err := f.fleet.Start(ctx, c.Cluster, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *files) where() string { return inFileMode }

func (f *files) folder() string { return f.dir }

func (f *files) sites() []*site { return []*site{f.clusters[0].site, f.clusters[1].site} }

func (f *files) of(s *site) *fileCluster {
	return f.clusters[slices.IndexFunc(f.clusters, func(c *fileCluster) bool { return c.site == s })]
}

func (f *files) settle(ctx context.Context) error {
	for i, c := range f.clusters {
		for _, p := range c.Proxies {
			if err := f.fleet.AwaitReady(ctx, p); err != nil {
				return err
			}
		}
		other := f.clusters[1-i]
		var exported []loopback.Service
		for name := range other.objects.all("ServiceExport") {
			exported = append(exported, loopback.Service{Namespace: namespace, Name: name})
		}
		if err := loopback.AwaitLinked(ctx, c.Cluster, other.Cluster, exported...); err != nil {
			return err
		}
	}
	return nil
}

func (f *files) setPolicy(_ context.Context, s *site, name string, how func(*v1alpha1.TrafficPolicySpec)) error {
	c := f.of(s)
	var p v1alpha1.TrafficPolicy
	if err := c.objects.get("TrafficPolicy", name, &p); err != nil {
		return err
	}
	how(&p.Spec)
	if err := c.objects.set("TrafficPolicy", name, &p); err != nil {
		return err
	}
	return f.sync()
}

func (f *files) hostOf(_ context.Context, s *site, external string) (string, error) {
	var e v1alpha1.ExternalService
	if err := f.of(s).objects.get(externalKind, external, &e); err != nil {
		return "", err
	}
	return e.Spec.Hosts[0], nil
}

func (f *files) trustOutside(_ context.Context, s *site) (ca *authority, fields map[string]string, err error) {
	if ca, err = newAuthority(); err != nil {
		return nil, nil, err
	}
	certificate, _, err := ca.text()
	path := filepath.Join(f.fleet.Dir, "outside-"+s.Name+".crt")
	return ca, map[string]string{"caCertificates": path}, errors.Join(err, os.WriteFile(path, []byte(certificate), 0o600))
}

// here runs programs where the test runs.
type here struct{}

func (here) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

func (f *files) running(_ context.Context, s *site, app string) ([]place, error) {
	var places []place
	for _, w := range f.of(s).workloads {
		if w.spec.Template.Labels["app"] != app {
			continue
		}
		for _, p := range w.pods {
			if err := f.fleet.Process(p.name).Alive(); err != nil {
				return nil, err
			}
			// One that is started again has a journal of its own.
			name := fmt.Sprintf("%s-%d", p.name, p.starts)
			places = append(places, place{name: name, zone: p.zone, ip: p.ip.String(), node: here{}, mock: f.fleet.Program("mock")})
		}
	}
	return places, nil
}

func (f *files) answer(ctx context.Context, s *site, zone, url string) (string, error) {
	cmd := exec.CommandContext(ctx, f.fleet.Program("mock"), "ask", url)
	cmd.Env = append(os.Environ(), "hosts="+f.hosts(zone))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("call %s from %s in %s: %w: %s", url, zone, s.Name, err, out)
	}
	return string(out), nil
}

func (f *files) endpoints(ctx context.Context, s *site, service string) ([]admin.ServiceEndpoints, error) {
	var all []admin.ServiceEndpoints
	for _, p := range f.of(s).Proxies {
		one, err := f.endpointsAt(ctx, p, service)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (f *files) endpointsAt(ctx context.Context, p *loopback.Proxy, service string) (admin.ServiceEndpoints, error) {
	client, err := admin.NewClient(p.Admin)
	if err != nil {
		return admin.ServiceEndpoints{}, err
	}
	defer client.Close()
	return client.Endpoints(ctx, namespace, service)
}

func (f *files) accessLogs(_ context.Context, s *site) (string, error) {
	var all strings.Builder
	for _, p := range f.of(s).Proxies {
		text, err := os.ReadFile(p.AccessLog)
		if err != nil {
			return "", err
		}
		all.Write(text)
	}
	return all.String(), nil
}

func (f *files) complaints(_ context.Context, s *site, app string) (string, error) {
	var all strings.Builder
	for _, w := range f.of(s).workloads {
		for _, p := range w.pods {
			if w.spec.Template.Labels["app"] != app {
				continue
			}
			if err := f.fleet.Process(p.name).Alive(); err != nil {
				return "", err
			}
			text, err := os.ReadFile(f.fleet.Log(p.name))
			if err != nil {
				return "", err
			}
			all.Write(text)
		}
	}
	return all.String(), nil
}

// explain has nothing to add to what stays.
func (f *files) explain(t *testing.T) {
	t.Helper()
	fmt.Fprintf(progress(t), "%s failed: logs and manifests are in %s\n", t.Name(), f.fleet.Dir)
}

// keepLogs has nothing to do: they stay.
func (f *files) keepLogs(string) {}

func (f *files) change(_ context.Context, s *site, deployment string, how func(*appsv1.DeploymentSpec)) error {
	w := f.of(s).workloads[deployment]
	if w == nil {
		return fmt.Errorf("%s has no %s", s.Name, deployment)
	}
	how(&w.spec)
	return nil
}
