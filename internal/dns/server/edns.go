package server

import (
	"errors"
	"net/netip"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
)

// edns is what a query says of its client beyond the question (RFC 6891).
type edns struct {
	there  bool
	size   int // of answers over UDP that the client takes
	dnssec bool
	subnet *dns.EDNS0_SUBNET
	// client is the prefix of the client that the resolver reports; invalid: it reports none.
	client netip.Prefix
}

// readEDNS returns the response code for what is wrong with it.
func readEDNS(q *dns.Msg) (e edns, rcode int) {
	e.size = plainSize
	for _, rr := range q.Extra {
		opt, ok := rr.(*dns.OPT)
		if !ok {
			continue
		}
		if e.there || opt.Hdr.Name != "." {
			return e, dns.RcodeFormatError
		}
		e.there, e.dnssec = true, opt.Do()
		e.size = min(max(int(opt.UDPSize()), plainSize), answerSize)
		if opt.Version() != 0 {
			return e, dns.RcodeBadVers
		}
		for _, o := range opt.Option {
			subnet, ok := o.(*dns.EDNS0_SUBNET)
			if !ok {
				continue
			}
			if e.client, ok = prefixOf(subnet); !ok || e.subnet != nil {
				return e, dns.RcodeFormatError
			}
			e.subnet = subnet
		}
	}
	return e, dns.RcodeSuccess
}

// prefixOf is false if the option is not as RFC 7871 wants it in a query. The prefix is invalid for a client that wants none to be
// used.
func prefixOf(o *dns.EDNS0_SUBNET) (netip.Prefix, bool) {
	if o.SourceScope != 0 {
		return netip.Prefix{}, false
	}
	if o.SourceNetmask == 0 {
		return netip.Prefix{}, true
	}
	addr, ok := netip.AddrFromSlice(o.Address)
	if !ok {
		return netip.Prefix{}, false
	}
	if o.Family == 1 {
		addr = addr.Unmap()
	}
	p := netip.PrefixFrom(addr, int(o.SourceNetmask))
	return p, p.IsValid() && p == p.Masked() && addr.Is4() == (o.Family == 1)
}

// subnetFits is true if the address in the option is as long as its prefix wants it (RFC 7871, section 6). The parser of the message fills it
// up, or cuts it.
func subnetFits(query []byte) bool {
	const fields, netmask, bitsPerByte = 4, 2, 8
	var p dnsmessage.Parser
	if _, err := p.Start(query); err != nil || p.SkipAllQuestions() != nil || p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return false
	}
	for {
		h, err := p.AdditionalHeader()
		if err != nil {
			return errors.Is(err, dnsmessage.ErrSectionDone)
		}
		if h.Type != dnsmessage.TypeOPT {
			if p.SkipAdditional() != nil {
				return false
			}
			continue
		}
		opt, err := p.OPTResource()
		if err != nil {
			return false
		}
		for _, o := range opt.Options {
			if o.Code == dns.EDNS0SUBNET && len(o.Data) != fields+(int(o.Data[netmask])+bitsPerByte-1)/bitsPerByte {
				return false
			}
		}
	}
}

// addTo gives the answer the options that belong to those of the query.
func (e *edns) addTo(reply *dns.Msg, scope int) {
	if !e.there {
		return
	}
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(answerSize)
	if e.dnssec {
		opt.SetDo() // copied, as RFC 3225 wants it; nothing is signed
	}
	if e.subnet != nil {
		answer := *e.subnet
		answer.SourceScope = uint8(scope)
		opt.Option = append(opt.Option, &answer)
	}
	reply.Extra = append(reply.Extra, opt)
}
