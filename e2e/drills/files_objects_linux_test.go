package drills

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

const externalKind = v1alpha1.KindExternal

// objects are those that proxies read, by kind and name, as they are in manifests.
type objects map[[2]string]map[string]any

// all of a kind, by name.
func (o objects) all(kind string) iter.Seq2[string, map[string]any] {
	return func(yield func(string, map[string]any) bool) {
		for _, key := range slices.SortedFunc(maps.Keys(o), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
			if key[0] == kind && !yield(key[1], o[key]) {
				return
			}
		}
	}
}

func (o objects) get(kind, name string, into any) error {
	one, found := o[[2]string{kind, name}]
	if !found {
		return fmt.Errorf("there is no %s %s", kind, name)
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(one, into)
}

func (o objects) set(kind, name string, from any) error {
	one, err := runtime.DefaultUnstructuredConverter.ToUnstructured(from)
	if err != nil {
		return err
	}
	o[[2]string{kind, name}] = one
	return nil
}

func (f *files) apply(ctx context.Context, s *site, template string, values map[string]any) error {
	text, err := render(template, values)
	if err != nil {
		return err
	}
	c := f.of(s)
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if err := c.take(document); err != nil {
			return fmt.Errorf("%s: %w: %s", template, err, document)
		}
	}
	return f.rolledOut(ctx, s)
}

// take an object of a manifest.
func (c *fileCluster) take(document []byte) error {
	var one map[string]any
	var meta metav1.PartialObjectMetadata
	if err := errors.Join(yaml.Unmarshal(document, &one), yaml.Unmarshal(document, &meta)); err != nil || one == nil {
		return err
	}
	switch meta.Kind {
	case "Namespace":
		return nil
	case "Deployment":
		var d appsv1.Deployment
		err := yaml.UnmarshalStrict(document, &d)
		c.workloads[d.Name] = &workload{name: d.Name, spec: d.Spec}
		return err
	case "ConfigMap":
		var m corev1.ConfigMap
		err := yaml.UnmarshalStrict(document, &m)
		c.configs[m.Name] = m.Data
		return err
	case "Service", "ServiceExport", "TrafficPolicy", externalKind:
		c.objects[[2]string{meta.Kind, meta.Name}] = one
		return nil
	default:
		return fmt.Errorf("no rule for %s", meta.Kind)
	}
}

func (f *files) remove(ctx context.Context, s *site, names ...string) error {
	c := f.of(s)
	for _, name := range names {
		if w := c.workloads[name]; w != nil {
			w.spec.Replicas = new(int32(0))
		}
	}
	err := f.rolledOut(ctx, s)
	for _, name := range names {
		delete(c.workloads, name)
		delete(c.configs, name)
		for _, kind := range []string{"Service", "ServiceExport", "TrafficPolicy", externalKind} {
			delete(c.objects, [2]string{kind, name})
		}
	}
	return errors.Join(err, f.sync())
}

// Addresses are 127.X.Y.HOST, where X and Y differ among stages, also of other processes; each zone has its share of hosts.
const (
	hostsOfZone = 64
	proxyHost   = 1
	firstVIP    = 2
	firstPod    = 24
)

// address of a host of the cluster.
func (c *fileCluster) address(zone string, host int) netip.Addr {
	pid, n := os.Getpid(), c.number*len(c.Zones)+slices.Index(c.Zones, zone)
	return netip.AddrFrom4([4]byte{127, byte(128 + 64*(c.stage&1) + pid>>8&63), byte(pid), byte(n*hostsOfZone + host)})
}

// vip is the address at which the proxy of a zone has a service.
func (f *files) vip(c *fileCluster, zone, service string) netip.Addr {
	n := slices.Index(f.vips, service)
	if n < 0 {
		n = len(f.vips)
		f.vips = append(f.vips, service)
	}
	return c.address(zone, firstVIP+n)
}

// sync writes what the proxies read, and where applications call.
func (f *files) sync() error {
	for i, c := range f.clusters {
		for _, p := range c.Proxies {
			text, hosts, err := f.view(c, f.clusters[1-i], p.Zone)
			if err != nil {
				return err
			}
			if c.written[p.Name] == text+hosts {
				continue
			}
			c.written[p.Name] = text + hosts
			if err := f.fleet.Write(p, "services.yaml", []byte(text)); err != nil {
				return err
			}
			if err := replace(f.hosts(p.Zone), hosts); err != nil {
				return err
			}
		}
	}
	return nil
}

// hosts is the file with the addresses that applications of a zone call.
func (f *files) hosts(zone string) string { return filepath.Join(f.fleet.Dir, "hosts-"+zone) }

func replace(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// view of a zone on its cluster: what its proxy reads, and the addresses that its applications call.
func (f *files) view(c, other *fileCluster, zone string) (manifests, hosts string, err error) {
	var text, addresses strings.Builder
	write := func(object any) {
		document, e := yaml.Marshal(object)
		err = errors.Join(err, e)
		fmt.Fprintf(&text, "---\n%s", document)
	}
	for name := range c.objects.all("Service") {
		var s corev1.Service
		if err := c.objects.get("Service", name, &s); err != nil {
			return "", "", err
		}
		_, exported := c.objects[[2]string{"ServiceExport", name}]
		taken := s.Annotations["eastway.dev/takeover"] == "true"
		s.Spec.ClusterIP = f.vip(c, zone, name).String()
		if taken || exported {
			write(&s)
			write(c.slice(&s))
		}
		for _, port := range s.Spec.Ports {
			to := fmt.Sprintf("%s:%d", s.Spec.ClusterIP, port.Port)
			if !taken { // a kube-proxy's
				to = c.nearest(&s, port, zone)
			}
			fmt.Fprintf(&addresses, "%s:%d %s\n", name, port.Port, to)
		}
	}
	for name := range other.objects.all("ServiceExport") {
		if _, own := c.objects[[2]string{"Service", name}]; own {
			continue
		}
		var s corev1.Service
		if err := other.objects.get("Service", name, &s); err != nil {
			return "", "", err
		}
		s.Annotations = map[string]string{"eastway.dev/takeover": "true"} // peers answer
		s.Spec.Selector, s.Spec.ClusterIP = nil, f.vip(c, zone, name).String()
		write(&s)
		for _, port := range s.Spec.Ports {
			fmt.Fprintf(&addresses, "%s.%s.svc.clusterset.local:%d %s:%d\n", name, namespace, port.Port, s.Spec.ClusterIP, port.Port)
		}
	}
	for name := range c.objects.all(externalKind) {
		var e v1alpha1.ExternalService
		if err := c.objects.get(externalKind, name, &e); err != nil {
			return "", "", err
		}
		e.Spec.Addresses = []string{f.vip(c, zone, name).String()}
		write(&e)
		for _, port := range e.Spec.Ports {
			fmt.Fprintf(&addresses, "%s:%d %s:%d\n", e.Spec.Hosts[0], port.Number, e.Spec.Addresses[0], port.Number)
		}
	}
	for _, kind := range []string{"ServiceExport", "TrafficPolicy"} {
		for _, object := range c.objects.all(kind) {
			write(object)
		}
	}
	return text.String(), addresses.String(), err
}

// slice has the endpoints of a Service.
func (c *fileCluster) slice(s *corev1.Service) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		TypeMeta:   metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name + "-1", Namespace: s.Namespace},
	}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: s.Name, corev1.LabelTopologyRegion: c.Region}
	slice.AddressType = discoveryv1.AddressTypeIPv4
	for _, port := range s.Spec.Ports {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{
			Name: new(port.Name), Port: new(targetOf(port)), Protocol: new(corev1.ProtocolTCP),
		})
	}
	for _, p := range c.selected(s) {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.ip.String()}, Zone: new(p.zone),
			Conditions: discoveryv1.EndpointConditions{Ready: new(!p.leaving), Serving: new(true), Terminating: new(p.leaving)},
		})
	}
	return slice
}

func targetOf(port corev1.ServicePort) int32 { return cmp.Or(port.TargetPort.IntVal, port.Port) }

// selected are the pods of a Service that run.
func (c *fileCluster) selected(s *corev1.Service) []*pod {
	var pods []*pod
	for _, name := range slices.Sorted(maps.Keys(c.workloads)) {
		w := c.workloads[name]
		matches := true
		for label, value := range s.Spec.Selector {
			matches = matches && w.spec.Template.Labels[label] == value
		}
		if matches && len(s.Spec.Selector) > 0 {
			for _, p := range w.pods {
				if p.spec != nil {
					pods = append(pods, p)
				}
			}
		}
	}
	return pods
}

// nearest pod of a Service to a zone; a closed port if there is none.
func (c *fileCluster) nearest(s *corev1.Service, port corev1.ServicePort, zone string) string {
	to := netip.IPv4Unspecified()
	for _, p := range c.selected(s) {
		if !p.leaving && (!to.IsValid() || to.IsUnspecified() || p.zone == zone) {
			to = p.ip
		}
	}
	return fmt.Sprintf("%v:%d", to, targetOf(port))
}
