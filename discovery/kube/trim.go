package kube

import (
	"maps"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// meta is what is needed of an object's metadata beside labels and annotations.
func meta(o metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName(), CreationTimestamp: o.GetCreationTimestamp()}
}

// only are the entries of m with these keys; nil when there are none.
func only(m map[string]string, keys ...string) map[string]string {
	var out map[string]string
	for _, k := range keys {
		if v, ok := m[k]; ok {
			if out == nil {
				out = make(map[string]string, len(keys))
			}
			out[k] = v
		}
	}
	return out
}

// ours are the entries with Eastway's prefix, also those that it does not know: they are checked.
func ours(m map[string]string) map[string]string {
	var keys []string
	for k := range m {
		if strings.HasPrefix(k, v1alpha1.GroupOwn+"/") {
			keys = append(keys, k)
		}
	}
	return only(m, keys...)
}

// canonical is a string of which many objects have a copy, such as the name of a zone.
func canonical(s *string) *string {
	if s == nil {
		return nil
	}
	one := unique.Make(*s).Value()
	return &one
}

// trimService keeps of a Service what the catalog needs.
func trimService(s *corev1.Service, namespace string) (metav1.Object, []Problem) {
	out := &corev1.Service{ObjectMeta: meta(s)}
	out.Annotations, out.Labels = ours(s.Annotations), ours(s.Labels)
	delete(out.Labels, v1alpha1.DerivedLabel) // it means something in the own namespace only
	derived := s.Namespace == namespace && s.Labels[v1alpha1.DerivedLabel] != ""
	if derived {
		out.Annotations = only(s.Annotations, v1alpha1.PrecedenceAnnotation)
		out.Labels = only(s.Labels, v1alpha1.DerivedLabel, v1alpha1.ServiceNamespaceLabel, v1alpha1.ServiceNameLabel,
			v1alpha1.ClusterLabel, v1alpha1.HostnameLabel)
	}
	out.Spec = corev1.ServiceSpec{
		Type: s.Spec.Type, ClusterIP: s.Spec.ClusterIP, ClusterIPs: s.Spec.ClusterIPs, IPFamilies: s.Spec.IPFamilies,
		SessionAffinity: s.Spec.SessionAffinity, SessionAffinityConfig: s.Spec.SessionAffinityConfig,
		InternalTrafficPolicy: s.Spec.InternalTrafficPolicy, TrafficDistribution: s.Spec.TrafficDistribution,
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		port := corev1.ServicePort{Name: p.Name, Protocol: p.Protocol, AppProtocol: p.AppProtocol, Port: p.Port}
		if derived {
			port.TargetPort = p.TargetPort
		}
		out.Spec.Ports = append(out.Spec.Ports, port)
	}
	if derived {
		return out, faults(kindService, s, checkDerived(out))
	}
	return out, nil
}

// trimSlice keeps of an EndpointSlice what the catalog needs. The label selector excludes Eastway's own slices, but
// a file, or an API server without support for selectors, does not.
func trimSlice(s *discoveryv1.EndpointSlice) (metav1.Object, []Problem) {
	_, derived := s.Labels[v1alpha1.DerivedLabel]
	ours := s.Labels[discoveryv1.LabelManagedBy] == v1alpha1.ManagedBy
	names := s.AddressType != discoveryv1.AddressTypeIPv4 && s.AddressType != discoveryv1.AddressTypeIPv6
	if derived || ours || names || s.Labels[discoveryv1.LabelServiceName] == "" {
		return nil, nil
	}
	out := &discoveryv1.EndpointSlice{ObjectMeta: meta(s), AddressType: s.AddressType, Ports: s.Ports}
	out.CreationTimestamp = metav1.Time{}
	out.Labels = only(s.Labels, discoveryv1.LabelServiceName, corev1.LabelTopologyRegion)
	out.Annotations = only(s.Annotations, corev1.LabelTopologyRegion)
	out.Endpoints = make([]discoveryv1.Endpoint, 0, len(s.Endpoints))
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		one := discoveryv1.Endpoint{
			Conditions: e.Conditions, Hostname: e.Hostname, NodeName: canonical(e.NodeName), Zone: canonical(e.Zone),
		}
		if len(e.Addresses) > 0 {
			one.Addresses = e.Addresses[:1:1]
		}
		if e.TargetRef != nil {
			one.TargetRef = &corev1.ObjectReference{Kind: *canonical(&e.TargetRef.Kind), Name: e.TargetRef.Name}
		}
		out.Endpoints = append(out.Endpoints, one)
	}
	return out, nil
}

func trimNode(n *corev1.Node) (metav1.Object, []Problem) {
	out := &corev1.Node{ObjectMeta: meta(n)}
	out.Labels = only(n.Labels, corev1.LabelTopologyRegion, corev1.LabelTopologyZone)
	out.Spec.PodCIDRs = n.Spec.PodCIDRs
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			out.Status.Addresses = append(out.Status.Addresses, a)
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			out.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status}} // without the heartbeat's time
		}
	}
	return out, nil
}

func trimExport(e *mcsv1beta1.ServiceExport) (metav1.Object, []Problem) {
	m := meta(e)
	m.Annotations, m.Labels = ours(e.Annotations), ours(e.Labels)
	return &mcsv1beta1.ServiceExport{ObjectMeta: m, Spec: mcsv1beta1.ServiceExportSpec{
		ExportedLabels: maps.Clone(e.Spec.ExportedLabels), ExportedAnnotations: maps.Clone(e.Spec.ExportedAnnotations),
	}}, nil
}

func trimPeer(p *v1alpha1.Peer) (metav1.Object, []Problem) {
	return &v1alpha1.Peer{ObjectMeta: meta(p), Spec: p.Spec}, nil
}

func trimPolicy(p *v1alpha1.TrafficPolicy) (metav1.Object, []Problem) {
	return &v1alpha1.TrafficPolicy{ObjectMeta: meta(p), Spec: p.Spec}, nil
}

func trimExternal(e *v1alpha1.ExternalService) (metav1.Object, []Problem) {
	return &v1alpha1.ExternalService{ObjectMeta: meta(e), Spec: e.Spec}, nil
}
