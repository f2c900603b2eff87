package config

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eastway/eastway/internal/dns/steer"
)

// fault is what is wrong with a field.
type fault struct{ field, message string }

// faults collects them.
type faults []fault

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, fault{field, fmt.Sprintf(format, args...)})
}

// domain checks a DNS name without a dot at its end.
func (f *faults) domain(field, name string) {
	switch msgs := validation.IsDNS1123Subdomain(name); {
	case strings.HasPrefix(name, "*."):
		f.add(field, "%q: wildcards are not served; write a GlobalName for each name", name)
	case strings.HasSuffix(name, ".") && name != ".":
		f.add(field, "%q: leave the dot at the end out", name)
	case len(msgs) > 0:
		f.add(field, "%q is no DNS name: %s", name, msgs[0])
	case slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return len(label) > validation.DNS1123LabelMaxLength }):
		f.add(field, "%q: a part between dots has more than %d characters", name, validation.DNS1123LabelMaxLength)
	}
}

// duration gives an absent value its default, and checks the others.
func (f *faults) duration(field string, d *metav1.Duration, unset, least, most time.Duration) {
	if d.Duration == 0 {
		d.Duration = unset
	}
	if d.Duration < least || d.Duration > most {
		f.add(field, "%v is not within %v and %v", d.Duration, least, most)
	}
}

// count does the same for a number.
func (f *faults) count(field string, n *int, unset, most int) {
	if *n == 0 {
		*n = unset
	}
	if *n < 1 || *n > most {
		f.add(field, "%d is not within 1 and %d", *n, most)
	}
}

// addresses checks those that clients are to reach.
func (f *faults) addresses(field string, texts []string, loopback bool) {
	if len(texts) > maxAddresses {
		f.add(field, "%d addresses; at most %d", len(texts), maxAddresses)
	}
	for i, text := range texts {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch a, err := netip.ParseAddr(text); {
		case err != nil:
			f.add(at, "%q is no IP address", text)
		case a.Is4In6() || a.Zone() != "":
			f.add(at, "%q: write a plain IPv4 or IPv6 address", text)
		case a.IsLoopback() && !loopback:
			f.add(at, "%q is a loopback address, which clients cannot reach; for trials on one machine: --allow-loopback", text)
		case !Reachable(a) && !a.IsLoopback():
			f.add(at, "%q is no address that clients can reach", text)
		case slices.Contains(texts[:i], text):
			f.add(at, "%q is there twice", text)
		}
	}
}

// Reachable is false for addresses that clients elsewhere cannot reach: such as loopback, broadcast and multicast ones.
func Reachable(a netip.Addr) bool {
	thisNetwork := a.Is4() && a.As4()[0] == 0
	broadcast := a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return a.IsValid() && !a.Is4In6() && !thisNetwork && !broadcast &&
		!a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && !a.IsLoopback()
}

func (f *faults) service(field, text string) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Label(name)) > 0 {
		f.add(field, "%q is not NAMESPACE/NAME of a Service", text)
	}
}

var mailUser = regexp.MustCompile(`^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*$`)

// check gives fields their defaults, and returns what is wrong.
func (z *DNSZone) check(loopback bool) (f faults) {
	f.domain("metadata.name", z.Name)
	s := &z.Spec
	f.duration("spec.negativeTTL", &s.NegativeTTL, DefaultNegativeTTL, minTTL, maxTTL)
	if len(s.NameServers) == 0 || len(s.NameServers) > maxNameServers {
		f.add("spec.nameServers", "%d name servers; 1 to %d are needed, those that the parent zone delegates to", len(s.NameServers), maxNameServers)
	}
	for i, ns := range s.NameServers {
		at := fmt.Sprintf("spec.nameServers[%d]", i)
		f.domain(at+".name", ns.Name)
		f.addresses(at+".addresses", ns.Addresses, loopback)
		inside := within(ns.Name, z.Name)
		switch {
		case ns.Name == z.Name:
			f.add(at+".name", "it is the zone itself: give the server a name of its own")
		case inside && len(ns.Addresses) == 0:
			f.add(at+".addresses", "required: %s lies within the zone, so only this zone has its addresses", ns.Name)
		case !inside && len(ns.Addresses) > 0:
			f.add(at+".addresses", "%s lies outside the zone %s, so another zone has its addresses", ns.Name, z.Name)
		case slices.ContainsFunc(s.NameServers[:i], func(o NameServer) bool { return o.Name == ns.Name }):
			f.add(at+".name", "%s is there twice", ns.Name)
		}
	}
	if s.Hostmaster == "" {
		s.Hostmaster = "hostmaster@" + z.Name
	}
	user, host, ok := strings.Cut(s.Hostmaster, "@")
	const labelLength, nameLength = validation.DNS1123LabelMaxLength, validation.DNS1123SubdomainMaxLength
	switch {
	case !ok || !mailUser.MatchString(user):
		f.add("spec.hostmaster", "%q is no mail address of letters, digits, dots, _, + and -", s.Hostmaster)
		return f
	case len(user) > labelLength || len(user)+len(host) >= nameLength: // its user is one label
		f.add("spec.hostmaster", "%q is too long for a DNS name: at most %d characters before the @, %d in all",
			s.Hostmaster, labelLength, nameLength)
	}
	f.domain("spec.hostmaster", host)
	return f
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// within is true for a name in a zone, and for the zone itself.
func within(name, zone string) bool { return dns.IsSubDomain(zone, name) }

func (n *GlobalName) check(loopback bool) (f faults) {
	f.domain("metadata.name", n.Name)
	s := &n.Spec
	f.duration("spec.ttl", &s.TTL, DefaultTTL, minTTL, maxTTL)
	if s.TTL.Duration%time.Second != 0 {
		f.add("spec.ttl", "%v: DNS has whole seconds", s.TTL.Duration)
	}
	if s.Strategy == "" {
		s.Strategy = string(steer.RoundRobin)
	}
	if !slices.Contains(steer.Strategies(), steer.Strategy(s.Strategy)) {
		f.add("spec.strategy", "%q is none of %v", s.Strategy, steer.Strategies())
	}
	if len(s.Entries) == 0 || len(s.Entries) > maxEntries {
		f.add("spec.entries", "%d entries; 1 to %d are needed", len(s.Entries), maxEntries)
	}
	for i := range s.Entries {
		n.checkEntry(&f, i, loopback)
	}
	if len(s.Services) > maxServices {
		f.add("spec.services", "%d services; at most %d", len(s.Services), maxServices)
	}
	for i, service := range s.Services {
		f.service(fmt.Sprintf("spec.services[%d]", i), service)
	}
	n.checkProbe(&f)
	n.checkGeo(&f)
	return f
}

func (n *GlobalName) checkEntry(f *faults, i int, loopback bool) {
	e := &n.Spec.Entries[i]
	at := fmt.Sprintf("spec.entries[%d]", i)
	if msgs := validation.IsDNS1123Label(e.Cluster); len(msgs) > 0 {
		f.add(at+".cluster", "%q is no name of a cluster: %s", e.Cluster, msgs[0])
	}
	if slices.ContainsFunc(n.Spec.Entries[:i], func(o Entry) bool { return o.Cluster == e.Cluster }) {
		f.add(at+".cluster", "%s has an entry already: add the addresses there", e.Cluster)
	}
	if msgs := validation.IsValidLabelValue(e.Region); len(msgs) > 0 {
		f.add(at+".region", "%q: %s", e.Region, msgs[0])
	}
	f.addresses(at+".addresses", e.Addresses, loopback)
	switch {
	case e.Hostname == "" && len(e.Addresses) == 0:
		f.add(at+".addresses", "required: the entry's public addresses, or its hostname")
	case e.Hostname != "" && len(e.Addresses) > 0:
		f.add(at+".hostname", "the entry has addresses, too: leave one of them out")
	case e.Hostname == n.Name:
		f.add(at+".hostname", "it is the name itself, which would be its own answer: write the name of the load balancer")
	case isAddress(e.Hostname):
		f.add(at+".hostname", "%s is an address: write it in addresses", e.Hostname)
	case e.Hostname != "":
		f.domain(at+".hostname", e.Hostname)
	}
	if e.Weight == nil {
		one := 1
		e.Weight = &one
	}
	if *e.Weight < 0 || *e.Weight > maxWeight {
		f.add(at+".weight", "%d is not within 0 and %d", *e.Weight, maxWeight)
	}
	if e.Service != "" {
		f.service(at+".service", e.Service)
	}
}

func (n *GlobalName) checkProbe(f *faults) {
	p := &n.Spec.Probe
	ports := map[string]int{"http": 80, "https": 443, "tcp": 0}
	port, known := ports[p.Scheme]
	if !known {
		f.add("spec.probe.scheme", "%q is none of http, https and tcp", p.Scheme)
	}
	if p.Port == 0 {
		p.Port = port
	}
	if p.Port < 1 || p.Port > 65535 {
		f.add("spec.probe.port", "%d is no port; tcp has no default", p.Port)
	}
	f.duration("spec.probe.interval", &p.Interval, DefaultInterval, minInterval, maxInterval)
	f.duration("spec.probe.timeout", &p.Timeout, DefaultTimeout, minInterval, maxTimeout)
	f.count("spec.probe.unhealthyThreshold", &p.UnhealthyThreshold, DefaultThreshold, maxThreshold)
	f.count("spec.probe.healthyThreshold", &p.HealthyThreshold, DefaultThreshold, maxThreshold)
	n.checkRequest(f)
}

// checkRequest checks what a probe of HTTP or TLS sends.
func (n *GlobalName) checkRequest(f *faults) {
	p := &n.Spec.Probe
	if p.Scheme == "tcp" && (p.Host != "" || p.Path != "") {
		f.add("spec.probe", "host and path have no meaning for tcp")
	}
	if p.Scheme != "https" && p.CABundle != "" {
		f.add("spec.probe.caBundle", "it has no meaning for %s", p.Scheme)
	} else if p.CABundle != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(p.CABundle)) {
		f.add("spec.probe.caBundle", "it has no certificate in PEM")
	}
	if p.Scheme == "tcp" {
		return // names with the same port share its probes
	}
	if p.Host == "" {
		p.Host = n.Name
	}
	f.domain("spec.probe.host", p.Host)
	if p.Path == "" {
		p.Path = "/"
	}
	if u, err := url.ParseRequestURI(p.Path); err != nil || !strings.HasPrefix(p.Path, "/") || u.Host != "" || strings.Contains(p.Path, "#") {
		f.add("spec.probe.path", "%q is no path that begins with / and has no #", p.Path)
	}
}

func (n *GlobalName) checkGeo(f *faults) {
	s := &n.Spec
	switch geo := s.Strategy == string(steer.Geo); {
	case geo && len(s.Geo) == 0:
		f.add("spec.geo", "required: the regions of clients, by their addresses")
	case !geo && len(s.Geo) > 0:
		f.add("spec.geo", "it has no meaning for the strategy %s", s.Strategy)
	case len(s.Geo) > maxPlaces:
		f.add("spec.geo", "%d prefixes; at most %d", len(s.Geo), maxPlaces)
		return
	}
	seen := make(map[netip.Prefix]bool, len(s.Geo))
	for i, g := range s.Geo {
		at := fmt.Sprintf("spec.geo[%d]", i)
		p, err := netip.ParsePrefix(g.CIDR)
		switch {
		case err != nil:
			f.add(at+".cidr", "%q is no prefix such as 192.0.2.0/24", g.CIDR)
		case p.Addr().Is4In6():
			f.add(at+".cidr", "%s: write a plain IPv4 or IPv6 prefix", g.CIDR)
		case p != p.Masked():
			f.add(at+".cidr", "%s has bits behind its prefix: write %s", g.CIDR, p.Masked())
		case seen[p]:
			f.add(at+".cidr", "%s is there twice", g.CIDR)
		}
		seen[p] = true
		if !slices.ContainsFunc(s.Entries, func(e Entry) bool { return e.Region == g.Region && g.Region != "" }) {
			f.add(at+".region", "no entry is in region %q", g.Region)
		}
	}
}
