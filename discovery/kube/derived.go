package kube

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/internal/translate"
)

// derived are the Services that the controller made for others: their target ports are this proxy's listeners.
type derived struct {
	of     map[name]map[string]*corev1.Service // by the service that they stand for, then their own name
	claims map[uint16][]*corev1.Service        // by listener port, the oldest first
}

func newDerived() derived {
	return derived{of: map[name]map[string]*corev1.Service{}, claims: map[uint16][]*corev1.Service{}}
}

// checkDerived returns what is wrong with a derived Service.
func checkDerived(s *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	labels := field.NewPath("metadata", "labels")
	label := func(key string, valid func(string) []string) {
		for _, msg := range valid(s.Labels[key]) {
			errs = append(errs, field.Invalid(labels.Key(key), s.Labels[key], msg))
		}
	}
	label(v1alpha1.ServiceNamespaceLabel, validation.IsDNS1123Label)
	label(v1alpha1.ServiceNameLabel, validation.IsDNS1123Label)
	kinds := []string{v1alpha1.DerivedImport, v1alpha1.DerivedTakeover, v1alpha1.DerivedPod, v1alpha1.DerivedExternal}
	switch kind := s.Labels[v1alpha1.DerivedLabel]; {
	case !slices.Contains(kinds, kind):
		errs = append(errs, field.NotSupported(labels.Key(v1alpha1.DerivedLabel), kind, kinds))
	case kind == v1alpha1.DerivedPod:
		label(v1alpha1.ClusterLabel, validation.IsDNS1123Label)
		label(v1alpha1.HostnameLabel, validation.IsDNS1123Label)
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.TargetPort.Type != intstr.Int || len(validation.IsValidPortNum(p.TargetPort.IntValue())) > 0 {
			errs = append(errs, field.Invalid(field.NewPath("spec", "ports").Index(i).Child("targetPort"), p.TargetPort.String(),
				"must be the number of a port on the proxies"))
		}
	}
	return errs
}

// standsFor is the service that a derived Service stands for.
func standsFor(s *corev1.Service) name {
	return name{Namespace: s.Labels[v1alpha1.ServiceNamespaceLabel], Name: s.Labels[v1alpha1.ServiceNameLabel]}
}

// take adds a derived Service, or removes it, and returns the services of which the listeners may now be others.
func (d *derived) take(s *corev1.Service, here bool) []name {
	at := standsFor(s)
	group(d.of, at, s.Name, s, here)
	touched := []name{at}
	for port := range wanted(s) {
		claims := slices.DeleteFunc(d.claims[port], func(o *corev1.Service) bool { return o.Name == s.Name })
		for _, o := range claims {
			touched = append(touched, standsFor(o))
		}
		if here {
			claims = append(claims, s)
			slices.SortFunc(claims, byAge)
		}
		if d.claims[port] = claims; len(claims) == 0 {
			delete(d.claims, port)
		}
	}
	return touched
}

// wanted are the listener ports of a derived Service with the service ports that they are for. UDP and SCTP are not carried.
func wanted(s *corev1.Service) map[uint16]uint16 {
	ports := make(map[uint16]uint16, len(s.Spec.Ports))
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
			ports[uint16(p.TargetPort.IntVal)] = uint16(p.Port) // validated
		}
	}
	return ports
}

// byAge orders objects of one kind: in a conflict the older one wins.
func byAge[T metav1.Object](a, b T) int {
	return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time),
		cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

// listen adds to a service the listeners, and the addresses, of the Services that stand for it.
func (d *derived) listen(service *discovery.Service) []Problem {
	var problems []Problem
	group := d.of[service.Name]
	for _, own := range slices.Sorted(maps.Keys(group)) {
		s := group[own]
		kind := s.Labels[v1alpha1.DerivedLabel]
		proto := discovery.Listener{ClusterSet: kind == v1alpha1.DerivedImport}
		if kind == v1alpha1.DerivedImport || kind == v1alpha1.DerivedExternal {
			for _, ip := range translate.ClusterIPs(s) {
				service.Addresses = append(service.Addresses, ip.Addr)
			}
		}
		switch kind {
		case v1alpha1.DerivedImport:
			if order := s.Annotations[v1alpha1.PrecedenceAnnotation]; order != "" {
				service.Precedence = strings.Split(order, ",")
			}
		case v1alpha1.DerivedPod:
			proto.Pod = discovery.PodRef{Cluster: s.Labels[v1alpha1.ClusterLabel], Hostname: s.Labels[v1alpha1.HostnameLabel]}
		}
		for target, port := range wanted(s) {
			if first := d.claims[target][0]; first != s {
				problems = append(problems, fault(kindService, s, "spec.ports",
					"port %d on the proxies is already that of Service %s/%s: port %d of %s is not listened for here",
					target, first.Namespace, first.Name, port, service.Name))
				continue
			}
			l := proto
			l.Address, l.Port = netip.AddrPortFrom(netip.IPv6Unspecified(), target), port
			service.Listeners = append(service.Listeners, l)
		}
	}
	slices.SortFunc(service.Listeners, func(a, b discovery.Listener) int { return a.Address.Compare(b.Address) })
	return problems
}
