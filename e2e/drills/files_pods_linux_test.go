package drills

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/loopback"
)

// workload is a Deployment and its pods.
type workload struct {
	name string
	spec appsv1.DeploymentSpec
	pods []*pod
}

// pod is a process. When its spec changes, it ends as pods do, and the next one has its address, as one of a StatefulSet may.
type pod struct {
	name, zone string
	ip         netip.Addr
	spec       *corev1.PodSpec // of what runs; nil: nothing does yet
	starts     int
	// leaving: it is to end, and gets no new calls. gone: there is to be no next one.
	leaving, gone bool
}

// rolledOut makes the workloads what they should be.
func (f *files) rolledOut(ctx context.Context, s *site) error {
	c := f.of(s)
	for _, w := range c.workloads {
		if err := c.plan(w); err != nil {
			return err
		}
	}
	if err := f.sync(); err != nil {
		return err
	}
	var changes errgroup.Group
	for _, w := range c.workloads {
		for _, p := range w.pods {
			changes.Go(func() error { return f.become(ctx, c, p, &w.spec.Template.Spec) })
		}
	}
	if err := changes.Wait(); err != nil {
		return err
	}
	for _, w := range c.workloads {
		w.pods = slices.DeleteFunc(w.pods, func(p *pod) bool { return p.gone })
	}
	return f.sync()
}

// plan as many pods as the workload wants.
func (c *fileCluster) plan(w *workload) error {
	want := 1
	if w.spec.Replicas != nil {
		want = int(*w.spec.Replicas)
	}
	for i, p := range w.pods {
		p.gone = i >= want
		// One that is broken does not leave first: it would not be an ejected endpoint any more that works again.
		works := slices.Equal(p.spec.Containers[0].Args, []string{"serve"})
		p.leaving = p.gone || works && !reflect.DeepEqual(p.spec, &w.spec.Template.Spec)
	}
	for n := len(w.pods); n < want; n++ {
		zone := w.spec.Template.Spec.NodeSelector[corev1.LabelTopologyZone]
		if zone == "" {
			zone = c.Zones[n%len(c.Zones)]
		}
		ip, err := c.freeAddress(zone)
		if err != nil {
			return err
		}
		w.pods = append(w.pods, &pod{name: fmt.Sprintf("%s-%s-%d", c.site.Name, w.name, n), zone: zone, ip: ip})
	}
	return nil
}

// freeAddress for a pod of a zone.
func (c *fileCluster) freeAddress(zone string) (netip.Addr, error) {
	taken := make(map[netip.Addr]bool)
	for _, w := range c.workloads {
		for _, p := range w.pods {
			taken[p.ip] = true
		}
	}
	for host := firstPod; host < hostsOfZone; host++ {
		if ip := c.address(zone, host); !taken[ip] {
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("zone %s has no address left", zone)
}

// become what the spec has, or end.
func (f *files) become(ctx context.Context, c *fileCluster, p *pod, spec *corev1.PodSpec) error {
	if p.spec != nil && !p.gone && reflect.DeepEqual(p.spec, spec) {
		return nil
	}
	if p.spec != nil {
		if err := f.fleet.Process(p.name).End(syscall.SIGTERM); err != nil {
			return err
		}
	}
	if p.gone {
		return nil
	}
	p.spec, p.leaving = spec.DeepCopy(), false
	p.starts++
	command, port, err := f.command(ctx, c, p)
	if err != nil {
		return err
	}
	command.Env = append(os.Environ(), "listen="+p.ip.String(), "hosts="+f.hosts(p.zone), "lame="+lameTime)
	for _, variable := range spec.Containers[0].Env {
		command.Env = append(command.Env, variable.Name+"="+variable.Value)
	}
	if err := f.fleet.Run(p.name, command); err != nil || port == 0 {
		return err
	}
	return loopback.Await(ctx, p.name+" listens", func(ctx context.Context) error {
		if err := f.fleet.Process(p.name).Alive(); err != nil {
			return err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("%v:%d", p.ip, port))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// command of a pod's container, and a port that it opens; 0: none.
func (f *files) command(ctx context.Context, c *fileCluster, p *pod) (*exec.Cmd, int, error) {
	ctx = context.WithoutCancel(ctx)
	switch container := p.spec.Containers[0]; {
	case container.Image == nginxImage:
		command, err := f.nginx(ctx, c, p)
		return command, ingressPort, err
	case slices.Equal(container.Args, []string{"nothing"}):
		return exec.CommandContext(ctx, f.fleet.Program("mock"), "nothing"), 0, nil
	case container.Image == mockImage:
		return exec.CommandContext(ctx, f.fleet.Program("mock"), container.Args...), load.Port, nil
	default:
		return nil, 0, fmt.Errorf("%s: there is no image %s", p.name, container.Image)
	}
}

// lameTime is longer than proxies take to see that an endpoint leaves.
const lameTime = "1s"

// ingressPort is where nginx listens.
const ingressPort = 8080

// installNginx has nothing to do: processes have this computer's.
func (f *files) installNginx(context.Context, string) error { return nil }

// nginx with the configuration of its ConfigMap. It has no network, names and /tmp of its own.
func (f *files) nginx(ctx context.Context, c *fileCluster, p *pod) (*exec.Cmd, error) {
	dir := filepath.Join(f.fleet.Dir, p.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	hosts, err := os.ReadFile(f.hosts(p.zone))
	if err != nil {
		return nil, err
	}
	text := c.configs["ingress"]["nginx.conf"]
	text = strings.ReplaceAll(text, "/tmp/", dir+"/")
	text = strings.ReplaceAll(text, fmt.Sprintf("listen %d;", ingressPort), fmt.Sprintf("listen %v:%d;", p.ip, ingressPort))
	for line := range strings.Lines(string(hosts)) {
		if name, address, found := strings.Cut(strings.TrimSpace(line), " "); found {
			text = strings.ReplaceAll(text, name, address)
		}
	}
	file := filepath.Join(dir, "nginx.conf")
	if text == "" {
		return nil, errors.New("there is no ConfigMap ingress with nginx.conf")
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, program, "-e", "stderr", "-c", file), os.WriteFile(file, []byte(text), 0o600)
}
