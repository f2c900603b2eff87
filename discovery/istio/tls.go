package istio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// tlsIstio is the mode that Eastway does not have.
const tlsIstio = "ISTIO_MUTUAL"

// mode refuses what no mode is.
func (f *findings) mode(at string, t *TLS) {
	if t == nil {
		return
	}
	switch t.Mode {
	case "", v1alpha1.TLSDisable, v1alpha1.TLSSimple, v1alpha1.TLSMutual, tlsIstio:
	default:
		f.add(Refused, at+".tls.mode", "%.40q is not known: DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL", t.Mode)
	}
}

// origin is TLS that a rule has for some ports, and where.
type origin struct {
	*TLS
	field string
}

// origins are all of a rule.
func origins(r *DestinationRule) []origin {
	p := r.Spec.TrafficPolicy
	if p == nil {
		return nil
	}
	out := []origin{{p.TLS, "spec.trafficPolicy.tls"}}
	for i := range p.PortLevelSettings {
		out = append(out, origin{p.PortLevelSettings[i].TLS, fmt.Sprintf("spec.trafficPolicy.portLevelSettings[%d].tls", i)})
	}
	return out
}

// originOf is what a rule has for a port: settings of the port replace those of the policy.
func originOf(r *DestinationRule, port uint32) origin {
	all := origins(r)
	if len(all) == 0 {
		return origin{}
	}
	for i := range r.Spec.TrafficPolicy.PortLevelSettings {
		if r.Spec.TrafficPolicy.PortLevelSettings[i].Port.Number == port {
			return all[i+1]
		}
	}
	return all[0]
}

// adds is true if TLS is added to connections.
func (o origin) adds() bool {
	return o.TLS != nil && (o.Mode == v1alpha1.TLSSimple || o.Mode == v1alpha1.TLSMutual)
}

// wanted is true if TLS is added, or the mode is one that may add it.
func (o origin) wanted() bool {
	return o.TLS != nil && o.Mode != "" && o.Mode != v1alpha1.TLSDisable && o.Mode != tlsIstio
}

// hasTLS is true if a rule adds TLS somewhere. It notes what an outside host gets none of.
func (c *converter) hasTLS(r *DestinationRule) (adds bool) {
	for _, o := range origins(r) {
		adds = adds || o.adds()
		if o.TLS != nil && o.Mode == tlsIstio {
			c.find(r, Changed, o.field, "endpoints of a ServiceEntry get no certificate of Istio's, and no TLS: MUTUAL has one of a file")
		}
	}
	return adds
}

// inside says what becomes of TLS that a rule has for a Service.
func (c *converter) inside(r *DestinationRule, t target) {
	for _, o := range origins(r) {
		switch {
		case o.adds():
			c.find(r, Changed, o.field, "no TLS is added to calls of %s: callers have to send TLS themselves", t)
		case o.TLS != nil && o.Mode == tlsIstio:
			c.find(r, Ignored, o.field, "tunnels between clusters always use mutual TLS; inside a cluster the bytes of the caller are passed on")
		}
	}
}

// originate gives services outside the TLS of their rules. A service has one setting for all its ports: where a rule has several, or none for some,
// the ports become services of their own.
func (c *converter) originate() {
	all := c.out.Externals
	c.out.Externals = nil
	for _, x := range all {
		at := externalTarget(x.ExternalService)
		d := c.rules[at]
		if c.opened(x, d) {
			delete(c.rules, at)
			delete(c.routes, at)
			continue
		}
		if d == nil {
			c.plain(x)
			c.out.Externals = append(c.out.Externals, x)
			continue
		}
		r, _ := d.of.(*DestinationRule)
		parts, from := c.parts(x, r)
		gone := false
		for i, part := range parts {
			one := External{part, x.Of}
			other, usable := externalTarget(part), c.secured(one, r, from[i])
			if usable {
				c.out.Externals = append(c.out.Externals, one)
			}
			if other != at && usable {
				c.follow(at, other)
			}
			gone = gone || other == at && !usable
		}
		if gone {
			delete(c.rules, at)
			delete(c.routes, at)
		}
	}
}

// opened is true for a service to which a rule that is not used would add TLS: its calls would be plain, so nothing may come of it.
func (c *converter) opened(x External, used *draft) bool {
	var r *DestinationRule
	if used != nil {
		r, _ = used.of.(*DestinationRule)
	}
	for _, p := range x.Spec.Ports {
		if p.Protocol == "TLS" || p.Protocol == "HTTPS" || r != nil && originOf(r, p.Number).adds() {
			continue
		}
		for _, other := range c.unused[externalTarget(x.ExternalService)] {
			if originOf(other, p.Number).wanted() {
				c.find(x.Of, Refused, "spec.hosts", "nothing comes of %s: DestinationRule %s/%s adds TLS to its port %d and is not used, "+
					"so calls would be plain; correct that rule, or remove it",
					strings.Join(x.Spec.Hosts, ", "), other.Namespace, other.Name, p.Number)
				return true
			}
		}
	}
	return false
}

// parts divides the ports of a service by the TLS that they have.
func (c *converter) parts(x External, r *DestinationRule) ([]*v1alpha1.ExternalService, []origin) {
	var parts []*v1alpha1.ExternalService
	var from []origin
	by := map[*TLS]*v1alpha1.ExternalService{}
	for _, p := range x.Spec.Ports {
		o := originOf(r, p.Number)
		if o.adds() && (p.Protocol == "TLS" || p.Protocol == "HTTPS") {
			c.find(r, Changed, o.field, "none is added on port %d: its protocol is %s, so callers send TLS themselves", p.Number, p.Protocol)
			o = origin{}
		}
		if !o.adds() {
			o.TLS = nil
		}
		if by[o.TLS] == nil {
			part := x.DeepCopy()
			part.Spec.Ports = nil
			if len(parts) > 0 {
				part.Name = label(fmt.Sprintf("%.50s-port-%d", x.Name, p.Number))
				c.rename(External{part, x.Of}, fmt.Sprintf("%s:%d", x.Spec.Hosts[0], p.Number))
			}
			by[o.TLS] = part
			parts, from = append(parts, part), append(from, o)
		}
		by[o.TLS].Spec.Ports = append(by[o.TLS].Spec.Ports, p)
	}
	for _, part := range parts {
		onlyOwn(part)
	}
	return parts, from
}

// onlyOwn leaves endpoints no ports that the service does not have.
func onlyOwn(x *v1alpha1.ExternalService) {
	names := map[string]bool{}
	for i := range x.Spec.Ports {
		names[x.Spec.Ports[i].Name] = true
	}
	for i := range x.Spec.Endpoints {
		for name := range x.Spec.Endpoints[i].Ports {
			if !names[name] {
				delete(x.Spec.Endpoints[i].Ports, name)
			}
		}
		if len(x.Spec.Endpoints[i].Ports) == 0 {
			x.Spec.Endpoints[i].Ports = nil
		}
	}
}

// secured adds TLS to a service. It is false if that is not possible: without it, what callers send would be open.
func (c *converter) secured(x External, r *DestinationRule, o origin) bool {
	if o.TLS == nil {
		c.plain(x)
		return true
	}
	t := &v1alpha1.ClientTLS{
		Mode: o.Mode, SNI: o.SNI, SubjectAltNames: o.SubjectAltNames, CACertificates: o.CACertificates,
		ClientCertificate: o.ClientCertificate, PrivateKey: o.PrivateKey, CredentialName: o.CredentialName,
	}
	if len(t.SubjectAltNames) == 0 {
		t.SubjectAltNames = x.Of.Spec.SubjectAltNames
	}
	if t.SNI == "" && len(x.Spec.Endpoints) > 0 { // the host, in Istio; the endpoint's own name, here
		t.SNI = x.Spec.Hosts[0]
	}
	x.Spec.TLS = t
	validate := v1alpha1.ValidateExternalService
	if c.cluster {
		validate = v1alpha1.ValidateClusterExternalService
	}
	var f findings
	f.invalid(validate(x.ExternalService), func(path string) string {
		return strings.Replace(path, "spec.tls", o.field, 1)
	})
	for _, one := range f {
		c.find(r, Refused, one.Field, "%s; without TLS, nothing comes of the ServiceEntry either", one.Message)
	}
	if len(f) == 0 && t.CredentialName != "" {
		c.find(r, Changed, o.field+".credentialName", "the Secret is read in Eastway's namespace, where it needs ca.crt, and the chart's value "+
			"proxy.externalCredentials has to name it")
	}
	return len(f) == 0
}

// plain notes what callers may not expect of a service to which no TLS is added.
func (c *converter) plain(x External) {
	const https = 443
	s := &x.Of.Spec
	if len(s.SubjectAltNames) > 0 {
		c.find(x.Of, Changed, "spec.subjectAltNames", "are not verified: no DestinationRule adds TLS, and that of callers is passed on")
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		here := slices.ContainsFunc(x.Spec.Ports, func(own v1alpha1.ExternalPort) bool { return own.Number == p.Number && own.IsHTTP() })
		if here && p.TargetPort == https {
			c.find(x.Of, Changed, fmt.Sprintf("spec.ports[%d].targetPort", i),
				"plain HTTP goes to port 443, as no DestinationRule that is used adds TLS: tls.mode SIMPLE does")
		}
	}
}

// follow gives a service that was divided off what the rest has.
func (c *converter) follow(at, other target) {
	c.order = append(c.order, other)
	for _, drafts := range []map[target]*draft{c.rules, c.routes} {
		if d := drafts[at]; d != nil {
			d := *d
			d.target = other
			drafts[other] = &d
		}
	}
}
