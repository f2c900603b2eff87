package server

import (
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/eastway/eastway/internal/dns/steer"
)

// NameServer is one of a zone.
type NameServer struct {
	Name      string // absolute
	Addresses []netip.Addr
}

// Name is one that is answered with addresses. Its Chooser may be replaced at any time.
type Name struct {
	TTL     uint32 // seconds
	Geo     *steer.Table
	Chooser *atomic.Pointer[steer.Chooser]
}

// Zone is a domain that is delegated to this server. All names are absolute; upper and lower case are the same.
type Zone struct {
	Apex        string
	Hostmaster  string // a mail address as a name
	NameServers []NameServer
	Serial      uint32
	NegativeTTL uint32 // seconds: of answers that something is not there
	Names       map[string]*Name
}

// nsTTL is the TTL of what seldom changes, in seconds: NS and SOA records and the name servers' addresses.
const nsTTL = 300

// node is a name that exists in a zone; one without anything has names below it.
type node struct {
	addresses []netip.Addr // of a name server
	name      *Name
}

// served is a zone as it is looked up.
type served struct {
	zone  Zone
	apex  string // canonical
	nodes map[string]node
}

// Zones are those that a server has authority over; none lies within another.
type Zones struct{ byApex map[string]*served }

// NewZones makes them; the zones are not changed later.
func NewZones(zones []Zone) *Zones {
	z := &Zones{byApex: make(map[string]*served)}
	for i := range zones {
		s := &served{zone: zones[i], apex: dns.CanonicalName(zones[i].Apex), nodes: make(map[string]node)}
		s.add(s.apex, node{})
		for _, ns := range s.zone.NameServers {
			if dns.IsSubDomain(s.apex, dns.CanonicalName(ns.Name)) {
				s.add(dns.CanonicalName(ns.Name), node{addresses: ns.Addresses})
			}
		}
		for name, n := range s.zone.Names {
			s.add(dns.CanonicalName(name), node{name: n})
		}
		z.byApex[s.apex] = s
	}
	return z
}

// add also adds the names between the name and the apex: they exist, too (RFC 8020).
func (s *served) add(name string, n node) {
	s.nodes[name] = n
	for name != s.apex {
		_, name, _ = strings.Cut(name, ".") // names that are served have no escaped dots
		if _, ok := s.nodes[name]; ok {
			return
		}
		s.nodes[name] = node{}
	}
}

// find returns the zone that a canonical name lies in; nil: none.
func (z *Zones) find(name string) *served {
	for at, end := 0, false; !end; at, end = dns.NextLabel(name, at) {
		if s := z.byApex[name[at:]]; s != nil {
			return s
		}
	}
	return nil
}

func (s *served) header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// soa is the SOA record; in negative answers its TTL is that of the answer (RFC 2308).
func (s *served) soa(owner string, ttl uint32) dns.RR {
	primary := s.apex
	if len(s.zone.NameServers) > 0 {
		primary = s.zone.NameServers[0].Name
	}
	return &dns.SOA{
		Hdr: s.header(owner, dns.TypeSOA, ttl), Ns: primary, Mbox: s.zone.Hostmaster, Serial: s.zone.Serial,
		Refresh: 3600, Retry: 600, Expire: 86400, Minttl: s.zone.NegativeTTL, // of secondaries, of which there are none
	}
}

func (s *served) addressRecords(owner string, qtype uint16, ttl uint32, addrs []netip.Addr) (records []dns.RR) {
	for _, a := range addrs {
		switch {
		case qtype == dns.TypeA && a.Is4():
			records = append(records, &dns.A{Hdr: s.header(owner, dns.TypeA, ttl), A: a.AsSlice()})
		case qtype == dns.TypeAAAA && a.Is6():
			records = append(records, &dns.AAAA{Hdr: s.header(owner, dns.TypeAAAA, ttl), AAAA: a.AsSlice()})
		}
	}
	return records
}
