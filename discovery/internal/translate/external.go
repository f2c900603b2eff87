package translate

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// External is a checked ExternalService as it stands in its own object: neither addresses nor endpoints.
func External(name discovery.ServiceName, e *v1alpha1.ExternalService) *discovery.Service {
	x := &discovery.External{Hosts: e.Spec.Hosts}
	out := &discovery.Service{Name: name, External: x, Private: true} // until there is an export
	for i := range e.Spec.Ports {
		p := &e.Spec.Ports[i]
		out.Ports = append(out.Ports, discovery.ServicePort{
			Name: p.Name, Port: uint16(p.Number), Protocol: discovery.TCP, AppProtocol: p.AppProtocol(), HTTP: p.IsHTTP(),
		})
	}
	if t := e.Spec.TLS; t.IsOn() {
		x.TLS = &discovery.TLS{Service: name, Mode: t.Mode, SNI: t.SNI, Host: e.Spec.Hosts[0], Names: t.SubjectAltNames}
		x.TLS.CAFile, x.TLS.CertFile, x.TLS.KeyFile = t.Files()
	}
	where := e.Spec.Where()
	for i := range where {
		at, _ := v1alpha1.ParseLocality(where[i].Locality)
		one := discovery.ExternalEndpoint{
			Host: where[i].Address, Locality: discovery.Locality{Region: at.Region, Zone: at.Zone}, Ports: map[uint16]uint16{},
		}
		for j := range e.Spec.Ports {
			one.Ports[uint16(e.Spec.Ports[j].Number)] = e.Spec.Ports[j].Target(&where[i])
		}
		x.Endpoints = append(x.Endpoints, one)
	}
	return out
}

// ExternalAddresses are those on which callers reach a checked ExternalService.
func ExternalAddresses(e *v1alpha1.ExternalService) []ClusterIP {
	var out []ClusterIP
	for i, text := range e.Spec.Addresses {
		addr, err := netip.ParseAddr(text)
		out = append(out, ClusterIP{field.NewPath("spec", "addresses").Index(i), text, addr.Unmap(), err})
	}
	return out
}
