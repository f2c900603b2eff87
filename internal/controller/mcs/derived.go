package mcs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// derivation is a derived Service that is wanted.
type derivation struct {
	kind    string // one of v1alpha1's Derived… values
	service discovery.ServiceName
	pod     discovery.PodRef // of kind DerivedPod
	ports   []discovery.ServicePort
	// spec has the client affinity that keeps a client on one proxy.
	spec discovery.ServiceSpec
	// local is whether a taken-over Service has a ready endpoint, as v1alpha1.LocalEndpointsAnnotation has it.
	local string
	// precedence are the exporters of an import, the first decides.
	precedence []string
	// ips are those that an import had before its Service was lost.
	ips []string
}

func (d *derivation) name() string { return derivedName(d.kind, d.service, d.pod) }

func (d *derivation) labels() map[string]string {
	labels := map[string]string{
		v1alpha1.DerivedLabel:          d.kind,
		v1alpha1.ServiceNamespaceLabel: d.service.Namespace,
		v1alpha1.ServiceNameLabel:      d.service.Name,
		managedByLabel:                 v1alpha1.ManagedByName,
	}
	if d.kind == v1alpha1.DerivedPod {
		labels[v1alpha1.ClusterLabel] = d.pod.Cluster
		labels[v1alpha1.HostnameLabel] = d.pod.Hostname
	}
	return labels
}

// managedByLabel marks what Eastway wrote.
const managedByLabel = "app.kubernetes.io/managed-by"

// object is the derived Service with these listener ports.
func (d *derivation) object(namespace string, selector map[string]string, listen map[servicePort]uint16) *corev1.Service {
	dual := corev1.IPFamilyPolicyPreferDualStack
	// The nearest proxy; which endpoint is the proxies' decision.
	closest := corev1.ServiceTrafficDistributionPreferClose
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: d.name(), Labels: d.labels()},
		Spec: corev1.ServiceSpec{
			Type:                corev1.ServiceTypeClusterIP,
			Selector:            selector,
			IPFamilyPolicy:      &dual,
			TrafficDistribution: &closest,
			SessionAffinity:     corev1.ServiceAffinityNone,
		},
	}
	if d.spec.SessionAffinity != "" {
		s.Spec.SessionAffinity = corev1.ServiceAffinity(d.spec.SessionAffinity)
		s.Spec.SessionAffinityConfig = affinityConfig(&d.spec)
	}
	if d.local != "" {
		s.Annotations = map[string]string{v1alpha1.LocalEndpointsAnnotation: d.local}
	}
	if len(d.precedence) > 0 {
		s.Annotations = map[string]string{v1alpha1.PrecedenceAnnotation: strings.Join(d.precedence, ",")}
	}
	for _, p := range d.ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{
			// Names of our own: those of several clusters need not fit together.
			Name:       fmt.Sprintf("%s-%d", strings.ToLower(p.Protocol), p.Port),
			Protocol:   corev1.Protocol(p.Protocol),
			Port:       int32(p.Port),
			TargetPort: intstr.FromInt32(int32(listen[servicePort{p.Protocol, p.Port}])),
		})
	}
	return s
}

func affinityConfig(s *discovery.ServiceSpec) *corev1.SessionAffinityConfig {
	seconds := int32(min(s.SessionAffinityTimeout, maxAffinity).Seconds())
	if seconds < 1 { // a cluster that sends none
		seconds = corev1.DefaultClientIPServiceAffinitySeconds
	}
	return &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
}

// sameDerived is true when nothing has to be written. What an API server may not know (trafficDistribution) is not looked at.
func sameDerived(is, want *corev1.Service) bool {
	return hasAll(is.Labels, want.Labels) && hasAll(is.Annotations, want.Annotations) && hasOwners(is, want) &&
		maps.Equal(is.Spec.Selector, want.Spec.Selector) &&
		is.Spec.SessionAffinity == want.Spec.SessionAffinity &&
		(want.Spec.SessionAffinityConfig == nil || equal(is.Spec.SessionAffinityConfig, want.Spec.SessionAffinityConfig)) &&
		slices.EqualFunc(sortedPorts(is), sortedPorts(want), func(a, b corev1.ServicePort) bool {
			return a.Name == b.Name && a.Port == b.Port && a.Protocol == b.Protocol && a.TargetPort == b.TargetPort
		})
}

func sortedPorts(s *corev1.Service) []corev1.ServicePort {
	return slices.SortedFunc(slices.Values(s.Spec.Ports), func(a, b corev1.ServicePort) int { return cmp.Compare(a.Name, b.Name) })
}

// hasAll is true when every key of want is in is with that value.
func hasAll(is, want map[string]string) bool {
	for k, v := range want {
		if got, ok := is[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// derive makes the derived Services that are wanted and returns them by name.
func (r *Reconciler) derive(ctx context.Context, wanted []derivation, there map[string]*corev1.Service) (map[string]*corev1.Service, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	selector, err := r.proxies(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*corev1.Service, len(wanted))
	for i := range wanted {
		d := &wanted[i]
		s, err := r.deriveOne(ctx, d, there[d.name()], selector)
		if err != nil {
			return nil, err
		}
		out[d.name()] = s
	}
	return out, nil
}

func (r *Reconciler) deriveOne(ctx context.Context, d *derivation, is *corev1.Service, selector map[string]string) (*corev1.Service, error) {
	name := d.name()
	listen, err := r.cfg.Ports.assign(name, d.ports, is)
	if err != nil {
		return nil, err
	}
	want := d.object(r.cfg.Namespace, selector, listen)
	r.own(want)
	if is != nil && sameDerived(is, want) {
		return is, nil
	}
	if is == nil {
		want.Spec.ClusterIPs = d.ips
		if len(d.ips) > 0 {
			want.Spec.ClusterIP = d.ips[0]
		}
	}
	err = r.cfg.Writer.Apply(ctx, want)
	if len(d.ips) > 0 && is == nil && apierrors.IsInvalid(err) { // another Service has the address by now
		want = d.object(r.cfg.Namespace, selector, listen)
		r.own(want)
		err = r.cfg.Writer.Apply(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	r.cfg.Ports.release(name, listen)
	return want, nil
}

// proxies is what selects the proxies' pods.
func (r *Reconciler) proxies(ctx context.Context) (map[string]string, error) {
	var s corev1.Service
	key := objectKey(discovery.ServiceName{Namespace: r.cfg.Namespace, Name: r.cfg.ProxiesService})
	switch err := r.cfg.Client.Get(ctx, key, &s); {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no Service %s that selects the proxies: install the whole chart, or name it (--proxies-service)", key)
	case err != nil:
		return nil, fmt.Errorf("read Service %s: %w", key, err)
	case len(s.Spec.Selector) == 0:
		return nil, fmt.Errorf("the Service %s has no selector: it must select the proxies' pods", key)
	}
	return s.Spec.Selector, nil
}
