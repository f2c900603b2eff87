package istio

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Values of resolution that mean no endpoints.
const (
	resolutionNone    = "NONE"
	resolutionDynamic = "DYNAMIC_DNS"
	resolutionOne     = "DNS_ROUND_ROBIN"
)

// entry are the services that a ServiceEntry describes.
func entry(e *ServiceEntry) ([]*v1alpha1.ExternalService, []Finding) {
	var f findings
	f.exported(e.Spec.ExportTo)
	switch e.Spec.Resolution {
	case "", resolutionNone, resolutionDynamic:
		f.add(Ignored, "spec.resolution",
			"the hosts have no endpoints of their own: calls to them do not pass Eastway; with DNS or STATIC they would")
		return nil, f
	}
	hosts := plainHosts(&f, &e.Spec)
	if len(hosts) == 0 {
		return nil, f
	}
	spec := v1alpha1.ExternalServiceSpec{
		Addresses: addresses(&f, e.Spec.Addresses), Resolution: e.Spec.Resolution, Ports: slices.Clone(e.Spec.Ports),
	}
	if spec.Resolution == resolutionOne {
		spec.Resolution = v1alpha1.ResolutionDNS
		f.add(Changed, "spec.resolution", "all addresses of a name are endpoints, as with DNS")
	}
	renamed := ports(&f, &spec)
	endpoints(&f, &e.Spec, &spec, renamed)
	if e.Spec.Location == "MESH_INTERNAL" {
		f.add(Changed, "spec.location", "endpoints are called without Istio's mutual TLS, as those outside the mesh are")
	}
	name := label(e.Name)
	if name != e.Name {
		f.add(Ignored, "metadata.name", "the ExternalService has the name %q: names of services have no dots and 63 letters at most", name)
	}
	out := split(&f, name, e, &spec, hosts)
	for _, x := range out {
		f.invalid(v1alpha1.ValidateExternalService(x), func(path string) string { return path })
	}
	return out, distinct(f)
}

// split makes one service of all hosts if these have the same endpoints, else one of each.
func split(f *findings, name string, e *ServiceEntry, spec *v1alpha1.ExternalServiceSpec, hosts []string) []*v1alpha1.ExternalService {
	make1 := func(name string, hosts ...string) *v1alpha1.ExternalService {
		x := &v1alpha1.ExternalService{Spec: *spec.DeepCopy()}
		x.APIVersion, x.Kind = v1alpha1.GroupVersion, v1alpha1.KindExternal
		x.Name, x.Namespace = name, e.Namespace
		x.Spec.Hosts = hosts
		return x
	}
	if len(spec.Endpoints) > 0 || len(hosts) == 1 {
		return []*v1alpha1.ExternalService{make1(name, hosts...)}
	}
	if len(spec.Addresses) > 0 {
		f.add(Refused, "spec.addresses",
			"each host has endpoints of its own, and the addresses do not say which is meant: make a ServiceEntry for each")
	}
	f.add(Ignored, "spec.hosts", "each has endpoints of its own: an ExternalService is made of each, with its name")
	var out []*v1alpha1.ExternalService
	for _, h := range hosts {
		out = append(out, make1(label(h), h))
	}
	return out
}

// plainHosts are the hosts that have no wildcard.
func plainHosts(f *findings, s *EntrySpec) []string {
	var out []string
	for i, h := range s.Hosts {
		at := fmt.Sprintf("spec.hosts[%d]", i)
		switch to := resolve(h, ""); {
		case strings.HasPrefix(h, "*") && len(s.Endpoints) > 0 && len(s.Hosts) == 1:
			f.add(Refused, at, "one name at least is needed that is no wildcard")
		case strings.HasPrefix(h, "*"):
			f.add(Ignored, at, "nothing says where the names of a wildcard are: calls to them do not pass Eastway")
		case to.name != "" && strings.Contains(h, "."):
			f.add(Refused, at, "is the name of a Service: give that an EndpointSlice, or choose another name")
		default:
			out = append(out, h)
		}
	}
	if len(s.Hosts) == 0 {
		f.add(Refused, "spec.hosts", "required: the DNS names by which applications know the service")
	}
	return out
}

// addresses are those that a proxy can listen on.
func addresses(f *findings, list []string) []string {
	var out []string
	for i, a := range list {
		if p, err := netip.ParsePrefix(a); err == nil && p.IsSingleIP() {
			a = p.Addr().String()
		} else if err == nil {
			f.add(Changed, fmt.Sprintf("spec.addresses[%d]", i),
				"a proxy listens on single addresses, not on ranges: name the address that callers use")
			continue
		}
		out = append(out, a)
	}
	return out
}

// ports gives each a name and a protocol that Eastway has, and returns the names that have changed.
func ports(f *findings, s *v1alpha1.ExternalServiceSpec) map[string]string {
	renamed := map[string]string{}
	for i := range s.Ports {
		p, at := &s.Ports[i], fmt.Sprintf("spec.ports[%d]", i)
		switch protocol := strings.ToUpper(p.Protocol); protocol {
		case "MONGO", "REDIS", "MYSQL":
			p.Protocol = "TCP"
			f.add(Ignored, at+".protocol", "connections are carried as they are")
		case "GRPC-WEB":
			p.Protocol = "HTTP"
		default:
			p.Protocol = protocol
		}
		if len(validation.IsValidPortName(p.Name)) > 0 {
			renamed[p.Name] = fmt.Sprintf("port-%d", p.Number)
			p.Name = renamed[p.Name]
		}
	}
	return renamed
}

func endpoints(f *findings, from *EntrySpec, to *v1alpha1.ExternalServiceSpec, renamed map[string]string) {
	for i := range from.Endpoints {
		e, at := &from.Endpoints[i], fmt.Sprintf("spec.endpoints[%d]", i)
		if e.Weight != from.Endpoints[0].Weight {
			f.add(Changed, at+".weight",
				"endpoints of a locality have the same share: to divide calls among localities, use distribute of a DestinationRule")
		}
		out := v1alpha1.ExternalEndpoint{Address: e.Address, Locality: e.Locality}
		if parts := strings.SplitN(e.Locality, "/", 3); len(parts) == 3 {
			out.Locality = parts[0] + "/" + parts[1]
			f.add(Changed, at+".locality", "sub-zones are not known here: it is in %s", out.Locality)
		}
		for name, port := range e.Ports {
			if other, ok := renamed[name]; ok {
				name = other
			}
			if out.Ports == nil {
				out.Ports = map[string]uint32{}
			}
			out.Ports[name] = port
		}
		to.Endpoints = append(to.Endpoints, out)
	}
}

// distinct leaves out what several services of one object have in common.
func distinct(f findings) findings {
	seen := map[Finding]bool{}
	return slices.DeleteFunc(f, func(one Finding) bool {
		known := seen[one]
		seen[one] = true
		return known
	})
}
