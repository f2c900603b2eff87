package main

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
)

// writers make objects at the same time: enough to hide the API server's latency.
const writers = 32

// populate makes the services that the cluster exports.
func (c *cluster) populate(ctx context.Context, o *options) error {
	for i := range o.namespaces() {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i * perNamespace)}}
		if err := c.create(ctx, ns); err != nil {
			return err
		}
	}
	making, ctx := errgroup.WithContext(ctx)
	making.SetLimit(writers)
	for i := range o.services {
		making.Go(func() error { return c.create(ctx, c.service(i), c.slice(i), c.export(i)) })
	}
	return making.Wait()
}

// create objects that may be there from an earlier run.
func (c *cluster) create(ctx context.Context, objects ...client.Object) error {
	for _, o := range objects {
		if err := c.client.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create %T %s: %w", o, client.ObjectKeyFromObject(o), err)
		}
	}
	return nil
}

func metaOf(i int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: own(i).Namespace, Name: own(i).Name}
}

func (c *cluster) export(i int) *mcsv1beta1.ServiceExport {
	return &mcsv1beta1.ServiceExport{ObjectMeta: metaOf(i)}
}

// service without a selector: its endpoints are ours.
func (c *cluster) service(i int) *corev1.Service {
	return &corev1.Service{ObjectMeta: metaOf(i), Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "http", Port: servicePort, Protocol: corev1.ProtocolTCP}},
	}}
}

// slice of a service's endpoints, which take turns on the nodes.
func (c *cluster) slice(i int) *discoveryv1.EndpointSlice {
	name, port, protocol := "http", int32(podPort), corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metaOf(i), AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
	}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: s.Name, discoveryv1.LabelManagedBy: "scale.eastway.dev"}
	for k := range endpoints {
		ready, on := true, c.Nodes[k%len(c.Nodes)]
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{podAddress(i, k).String()}, Zone: &on.Zone, NodeName: &on.Name,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return s
}

// setReady says whether the first endpoint of service i is ready.
func (c *cluster) setReady(ctx context.Context, i int, ready bool) error {
	patch := fmt.Sprintf(`[{"op":"replace","path":"/endpoints/0/conditions/ready","value":%t}]`, ready)
	s := &discoveryv1.EndpointSlice{ObjectMeta: metaOf(i)}
	if err := c.client.Patch(ctx, s, client.RawPatch(types.JSONPatchType, []byte(patch))); err != nil {
		return fmt.Errorf("change the endpoints of %s: %w", own(i), err)
	}
	return nil
}

// trust a simulated cluster.
func (c *cluster) trust(ctx context.Context, p *peer) error {
	spec, err := p.manifest()
	if err != nil {
		return err
	}
	is := &v1alpha1.Peer{ObjectMeta: metav1.ObjectMeta{Name: p.name}}
	if err := c.client.Delete(ctx, is); err != nil && !apierrors.IsNotFound(err) { // of an earlier run
		return fmt.Errorf("remove Peer %s: %w", p.name, err)
	}
	return c.create(ctx, &v1alpha1.Peer{ObjectMeta: metav1.ObjectMeta{Name: p.name}, Spec: spec})
}

// placeProxies says where the proxies are, as Kubernetes would of pods.
func (c *cluster) placeProxies(ctx context.Context) error {
	service := install.Release + "-proxies"
	protocol := corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: install.Namespace, Name: service + "-scale", Labels: map[string]string{
			discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "scale.eastway.dev",
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for name, port := range map[string]int32{"tunnel": tunnelPort, "health": proxyHealth, "agents": proxyAgents} {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port, Protocol: &protocol})
	}
	for _, n := range c.proxyNodes() {
		ready := true
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{n.Address.String()}, Zone: &n.Zone, NodeName: &n.Name,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return c.create(ctx, s)
}

// proxyNodes are where the proxies run, one on each.
func (c *cluster) proxyNodes() []*lab.Node {
	const proxies = 2
	return c.Nodes[:min(proxies, len(c.Nodes))]
}

// written counts the objects that the controller made.
func (c *cluster) written(ctx context.Context) (imports, ready, derived int, err error) {
	var all mcsv1beta1.ServiceImportList
	if err := c.client.List(ctx, &all); err != nil {
		return 0, 0, 0, fmt.Errorf("list the imports: %w", err)
	}
	for i := range all.Items {
		for _, condition := range all.Items[i].Status.Conditions {
			if condition.Type == string(mcsv1beta1.ServiceImportConditionReady) && condition.Status == metav1.ConditionTrue {
				ready++
			}
		}
	}
	var services corev1.ServiceList
	err = c.client.List(ctx, &services, client.InNamespace(install.Namespace), client.HasLabels{v1alpha1.DerivedLabel})
	if err != nil {
		return 0, 0, 0, fmt.Errorf("list the derived Services: %w", err)
	}
	return len(all.Items), ready, len(services.Items), nil
}

// identity is what the Secrets of proxies and node agents hold, by their names after the release's, and the cluster's own Peer manifest;
// an error until the controller has made them.
func (c *cluster) identity(ctx context.Context) (svids map[string]map[string][]byte, manifest string, err error) {
	svids = make(map[string]map[string][]byte)
	for _, name := range []string{"svid", "node-svid"} {
		var secret corev1.Secret
		key := client.ObjectKey{Namespace: install.Namespace, Name: install.Release + "-" + name}
		if err := c.client.Get(ctx, key, &secret); err != nil {
			return nil, "", fmt.Errorf("read Secret %s: %w", key, err)
		}
		svids[name] = secret.Data
	}
	var own corev1.ConfigMap
	key := client.ObjectKey{Namespace: install.Namespace, Name: install.Release + "-cluster"}
	if err := c.client.Get(ctx, key, &own); err != nil {
		return nil, "", fmt.Errorf("read ConfigMap %s: %w", key, err)
	}
	manifest = own.Data["peer.yaml"]
	if strings.TrimSpace(manifest) == "" {
		return nil, "", fmt.Errorf("ConfigMap %s has no peer.yaml yet", key)
	}
	return svids, manifest, nil
}
