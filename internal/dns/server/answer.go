package server

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/eastway/eastway/internal/dns/steer"
)

// Handler answers queries from memory. Set may be called at any time.
type Handler struct {
	zones atomic.Pointer[Zones]
	// failed takes errors of this server itself, which are answered with SERVFAIL.
	failed func(error)
}

// NewHandler has authority over nothing yet.
func NewHandler() *Handler {
	h := &Handler{failed: func(error) {}}
	h.Set(NewZones(nil))
	return h
}

// Set replaces the zones.
func (h *Handler) Set(z *Zones) { h.zones.Store(z) }

// Answer is the response to a query from a resolver, over UDP or TCP; nil: there is none.
func (h *Handler) Answer(query []byte, resolver netip.Addr, udp bool) (response []byte, rcode int) {
	const headerSize, response1, opcodes, opcodeShift = 12, 0x80, 0x0f, 3
	if len(query) < headerSize || query[2]&response1 != 0 {
		return nil, 0
	}
	defer func() {
		if p := recover(); p != nil { // one query must not end the answers to all others
			response, rcode = h.fail(query, fmt.Errorf("%v: %s", p, debug.Stack()))
		}
	}()
	reply, e, scope := h.reply(query, int(query[2]>>opcodeShift&opcodes), resolver)
	if udp {
		reply.Extra = reply.Extra[:min(len(reply.Extra), maxGlue)]
	}
	e.addTo(reply, scope)
	reply.Compress = true
	if udp {
		reply.Truncate(e.size)
		reply.Compress = true
	}
	packed, err := reply.Pack()
	if err == nil {
		return packed, reply.Rcode
	}
	if _, bad := (&dns.Msg{Question: reply.Question}).Pack(); bad == nil {
		return h.fail(query, err)
	}
	// a name in the question that cannot be written as it was read
	if packed, err = refusal(query, dns.RcodeFormatError).Pack(); err != nil {
		return nil, 0
	}
	return packed, dns.RcodeFormatError
}

// fail answers a query that this server has an error with.
func (h *Handler) fail(query []byte, err error) (response []byte, rcode int) {
	h.failed(err)
	packed, err := refusal(query, dns.RcodeServerFailure).Pack()
	if err != nil {
		return nil, 0
	}
	return packed, dns.RcodeServerFailure
}

func (h *Handler) reply(query []byte, opcode int, resolver netip.Addr) (reply *dns.Msg, e edns, scope int) {
	e.size = plainSize
	if opcode != dns.OpcodeQuery {
		return refusal(query, dns.RcodeNotImplemented), e, 0
	}
	q := new(dns.Msg)
	if err := q.Unpack(query); err != nil || len(q.Question) != 1 || len(q.Answer) > 0 {
		return refusal(query, dns.RcodeFormatError), e, 0
	}
	reply = new(dns.Msg)
	reply.SetReply(q)
	e, reply.Rcode = readEDNS(q)
	if e.subnet != nil && reply.Rcode == dns.RcodeSuccess && !subnetFits(query) {
		e.subnet, reply.Rcode = nil, dns.RcodeFormatError
	}
	if reply.Rcode == dns.RcodeSuccess {
		client := e.client
		if !client.IsValid() {
			client = netip.PrefixFrom(resolver.Unmap(), resolver.Unmap().BitLen())
		}
		scope = h.fill(reply, client)
		if !e.client.IsValid() {
			scope = 0
		}
	}
	return reply, e, scope
}

// refusal is a response to a query that could not be read as a whole: only its header counts.
func refusal(query []byte, rcode int) *dns.Msg {
	const opcodeShift, opcodes, recursionDesired = 3, 0x0f, 0x01
	return &dns.Msg{MsgHdr: dns.MsgHdr{
		Id: binary.BigEndian.Uint16(query), Response: true, Opcode: int(query[2] >> opcodeShift & opcodes),
		RecursionDesired: query[2]&recursionDesired != 0, Rcode: rcode,
	}}
}

// truncated is a response without answers that has the client come back over TCP; nil: there is none.
func truncated(query, response []byte) []byte {
	reply := new(dns.Msg)
	if err := reply.Unpack(response); err != nil || reply.Opcode != dns.OpcodeQuery {
		return nil
	}
	reply.Truncated, reply.Compress = true, true
	reply.Answer, reply.Ns = nil, nil
	reply.Extra = slices.DeleteFunc(reply.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT })
	packed, err := reply.Pack()
	if err != nil || len(packed) > len(query) { // never larger than what an attacker sent
		return nil
	}
	return packed
}

// fill answers the question of reply, and returns for how many bits of the client's address.
func (h *Handler) fill(reply *dns.Msg, client netip.Prefix) (scope int) {
	q := reply.Question[0]
	switch q.Qtype {
	case dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB:
		reply.Rcode = dns.RcodeRefused
		return 0
	case dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY, dns.TypeNone:
		reply.Rcode = dns.RcodeFormatError
		return 0
	}
	name := dns.CanonicalName(q.Name)
	zone := h.zones.Load().find(name)
	if q.Qclass != dns.ClassINET || zone == nil {
		reply.Rcode = dns.RcodeRefused
		return 0
	}
	reply.Authoritative = true
	at, exists := zone.nodes[name]
	if !exists {
		reply.Rcode = dns.RcodeNameError
	} else {
		scope = zone.answer(reply, q, name, at, client)
	}
	if len(reply.Answer) == 0 && reply.Rcode != dns.RcodeServerFailure {
		reply.Ns = append(reply.Ns, zone.soa(zone.zone.Apex, min(zone.zone.NegativeTTL, nsTTL)))
	}
	return scope
}

func (s *served) answer(reply *dns.Msg, q dns.Question, name string, at node, client netip.Prefix) (scope int) {
	switch {
	case q.Qtype == dns.TypeANY: // RFC 8482
		reply.Answer = []dns.RR{&dns.HINFO{Hdr: s.header(q.Name, dns.TypeHINFO, nsTTL), Cpu: "RFC8482"}}
	case name == s.apex && q.Qtype == dns.TypeSOA:
		reply.Answer = []dns.RR{s.soa(q.Name, nsTTL)}
	case name == s.apex && q.Qtype == dns.TypeNS:
		for _, ns := range s.zone.NameServers {
			reply.Answer = append(reply.Answer, &dns.NS{Hdr: s.header(q.Name, dns.TypeNS, nsTTL), Ns: ns.Name})
			if dns.IsSubDomain(s.apex, dns.CanonicalName(ns.Name)) {
				reply.Extra = append(reply.Extra, s.addressRecords(ns.Name, dns.TypeA, nsTTL, ns.Addresses)...)
				reply.Extra = append(reply.Extra, s.addressRecords(ns.Name, dns.TypeAAAA, nsTTL, ns.Addresses)...)
			}
		}
	case at.name != nil:
		return s.choose(reply, q, at.name, client)
	default:
		reply.Answer = s.addressRecords(q.Name, q.Qtype, nsTTL, at.addresses)
	}
	return 0
}

// choose answers with the addresses of a name.
func (s *served) choose(reply *dns.Msg, q dns.Question, n *Name, client netip.Prefix) (scope int) {
	if q.Qtype != dns.TypeA && q.Qtype != dns.TypeAAAA {
		return 0
	}
	region := ""
	if n.Geo != nil {
		region, scope = n.Geo.Region(client)
	}
	chooser, family := n.Chooser.Load(), steer.IPv4
	if q.Qtype == dns.TypeAAAA {
		family = steer.IPv6
	}
	if chooser.Empty() {
		// Nothing is known yet, as after a start whose lookups have no answer: another server may know more.
		reply.Rcode, reply.Authoritative = dns.RcodeServerFailure, false
		return scope
	}
	reply.Answer = s.addressRecords(q.Name, q.Qtype, n.TTL, chooser.Choose(family, region, rand.IntN).Addresses)
	return scope
}
