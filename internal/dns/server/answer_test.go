package server

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/eastway/eastway/internal/dns/judge"
	"github.com/eastway/eastway/internal/dns/steer"
)

func addrs(texts ...string) (out []netip.Addr) {
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

// in is an entry whose addresses are all in.
func in(region string, texts ...string) steer.Entry {
	e := steer.Entry{Region: region}
	for _, a := range addrs(texts...) {
		e.Addresses = append(e.Addresses, judge.Address{Addr: a, In: true})
	}
	return e
}

func name(strategy steer.Strategy, entries ...steer.Entry) *Name {
	n := &Name{TTL: 5, Chooser: new(atomic.Pointer[steer.Chooser])}
	n.Chooser.Store(steer.New(strategy, entries))
	return n
}

func testZones() *Zones {
	geo := name(steer.Geo, in("eu", "192.0.2.1"), in("us", "192.0.2.2"))
	table := steer.NewTable([]steer.Place{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Region: "eu"}, {Prefix: netip.MustParsePrefix("10.9.0.0/16"), Region: "us"},
	})
	geo.Geo = &table
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("2001:db8::%d", i+1))
	}
	return NewZones([]Zone{{
		Apex: "lb.Example.com.", Hostmaster: "hostmaster.example.com.", Serial: 7, NegativeTTL: 3,
		NameServers: []NameServer{{"ns1.lb.example.com.", addrs("192.0.2.53", "2001:db8::53")}, {"ns.example.net.", nil}},
		Names: map[string]*Name{
			"shop.lb.example.com.":  name(steer.RoundRobin, in("eu", "192.0.2.1", "2001:db8::1")),
			"v4.lb.example.com.":    name(steer.RoundRobin, in("eu", "192.0.2.1")),
			"a.b.c.lb.example.com.": name(steer.RoundRobin, in("eu", "192.0.2.9")),
			"geo.lb.example.com.":   geo,
			"many.lb.example.com.":  name(steer.RoundRobin, in("eu", many...)),
			"empty.lb.example.com.": name(steer.RoundRobin),
			"lb.example.com.":       name(steer.RoundRobin, in("eu", "192.0.2.7")),
		},
	}})
}

func testHandler() *Handler {
	h := NewHandler()
	h.Set(testZones())
	return h
}

func query(name string, qtype uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, qtype) }

// exchange is what a resolver at 198.51.100.7 gets.
func exchange(t *testing.T, q *dns.Msg, udp bool) (*dns.Msg, int) {
	t.Helper()
	packed, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	response, _ := testHandler().Answer(packed, netip.MustParseAddr("198.51.100.7"), udp)
	if response == nil {
		return nil, 0
	}
	m := new(dns.Msg)
	if err := m.Unpack(response); err != nil {
		t.Fatal(err)
	}
	return m, len(response)
}

// sections are the records of an answer without tabs, sorted; those of the sections are separated by " / ".
func sections(m *dns.Msg) string {
	var out []string
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		var texts []string
		for _, rr := range section {
			if rr.Header().Rrtype != dns.TypeOPT {
				texts = append(texts, strings.ReplaceAll(rr.String(), "\t", " "))
			}
		}
		slices.Sort(texts)
		out = append(out, strings.Join(texts, ", "))
	}
	return strings.TrimRight(strings.Join(out, " / "), " /")
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const soa = "lb.Example.com. 3 IN SOA ns1.lb.example.com. hostmaster.example.com. 7 3600 600 86400 3"
	tests := []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"shop.lb.example.com.", dns.TypeA, 0, "shop.lb.example.com. 5 IN A 192.0.2.1"},
		{"shop.lb.example.com.", dns.TypeAAAA, 0, "shop.lb.example.com. 5 IN AAAA 2001:db8::1"},
		{"sHOp.LB.examPLE.com.", dns.TypeA, 0, "sHOp.LB.examPLE.com. 5 IN A 192.0.2.1"},
		{"v4.lb.example.com.", dns.TypeAAAA, 0, " / " + soa},
		{"shop.lb.example.com.", dns.TypeTXT, 0, " / " + soa},
		{"shop.lb.example.com.", dns.TypeDS, 0, " / " + soa},
		{"nope.lb.example.com.", dns.TypeA, dns.RcodeNameError, " / " + soa},
		{"x.shop.lb.example.com.", dns.TypeA, dns.RcodeNameError, " / " + soa},
		{"b.c.lb.example.com.", dns.TypeA, 0, " / " + soa}, // only names below it
		{"c.lb.example.com.", dns.TypeA, 0, " / " + soa},
		{"a.b.c.lb.example.com.", dns.TypeA, 0, "a.b.c.lb.example.com. 5 IN A 192.0.2.9"},
		{"shop.lb.example.com.", dns.TypeANY, 0, `shop.lb.example.com. 300 IN HINFO "RFC8482" ""`},
		{"nope.lb.example.com.", dns.TypeANY, dns.RcodeNameError, " / " + soa},
		{"lb.example.com.", dns.TypeSOA, 0, strings.Replace(strings.Replace(soa, "lb.Example.com. 3", "lb.example.com. 300", 1), "/", "", 1)},
		{
			"lb.example.com.", dns.TypeNS, 0, "lb.example.com. 300 IN NS ns.example.net., lb.example.com. 300 IN NS ns1.lb.example.com. /  / " +
				"ns1.lb.example.com. 300 IN A 192.0.2.53, ns1.lb.example.com. 300 IN AAAA 2001:db8::53",
		},
		{"lb.example.com.", dns.TypeA, 0, "lb.example.com. 5 IN A 192.0.2.7"},
		{"lb.example.com.", dns.TypeAAAA, 0, " / " + soa},
		{"ns1.lb.example.com.", dns.TypeA, 0, "ns1.lb.example.com. 300 IN A 192.0.2.53"},
		{"geo.lb.example.com.", dns.TypeA, 0, "geo.lb.example.com. 5 IN A 192.0.2.1, geo.lb.example.com. 5 IN A 192.0.2.2"}, // no region
		{"empty.lb.example.com.", dns.TypeA, dns.RcodeServerFailure, ""},
		{"example.com.", dns.TypeA, dns.RcodeRefused, ""},
		{"xlb.example.com.", dns.TypeA, dns.RcodeRefused, ""},
		{".", dns.TypeNS, dns.RcodeRefused, ""},
		{"lb.example.com.", dns.TypeAXFR, dns.RcodeRefused, ""},
		{"lb.example.com.", dns.TypeIXFR, dns.RcodeRefused, ""},
		{"lb.example.com.", dns.TypeOPT, dns.RcodeFormatError, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+dns.TypeToString[tt.qtype], func(t *testing.T) {
			t.Parallel()
			q := query(tt.name, tt.qtype)
			m, _ := exchange(t, q, true)
			if got := sections(m); got != tt.want || m.Rcode != tt.rcode {
				t.Errorf("%s: %q, want %s: %q", dns.RcodeToString[m.Rcode], got, dns.RcodeToString[tt.rcode], tt.want)
			}
			authoritative := tt.rcode == dns.RcodeSuccess || tt.rcode == dns.RcodeNameError
			if m.Id != q.Id || !m.Response || m.Authoritative != authoritative || m.RecursionAvailable || m.AuthenticatedData ||
				!m.RecursionDesired || m.Truncated || m.Question[0] != q.Question[0] || m.IsEdns0() != nil {
				t.Errorf("header %+v, question %v", m.MsgHdr, m.Question)
			}
		})
	}
}

func TestRefusedQueries(t *testing.T) {
	t.Parallel()
	const shop = "shop.lb.example.com."
	chaos := query("version.bind.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	chaosInside := query(shop, dns.TypeA)
	chaosInside.Question[0].Qclass = dns.ClassCHAOS
	notify := new(dns.Msg).SetNotify("lb.example.com.")
	update := new(dns.Msg).SetUpdate("lb.example.com.")
	two := query(shop, dns.TypeA)
	two.Question = append(two.Question, two.Question[0])
	none := query(shop, dns.TypeA)
	none.Question = nil
	version := query(shop, dns.TypeA).SetEdns0(1232, false)
	version.IsEdns0().SetVersion(1)
	twice := query(shop, dns.TypeA).SetEdns0(1232, false)
	twice.Extra = append(twice.Extra, twice.Extra[0])
	response := query(shop, dns.TypeA)
	response.Response = true
	for _, tt := range []struct {
		name  string
		q     *dns.Msg
		rcode int // -1: no answer at all
	}{
		{"version.bind", chaos, dns.RcodeRefused},
		{"class CHAOS", chaosInside, dns.RcodeRefused},
		{"NOTIFY", notify, dns.RcodeNotImplemented},
		{"UPDATE", update, dns.RcodeNotImplemented},
		{"two questions", two, dns.RcodeFormatError},
		{"no question", none, dns.RcodeFormatError},
		{"EDNS version 1", version, dns.RcodeBadVers},
		{"two OPT records", twice, dns.RcodeFormatError},
		{"a response", response, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, _ := exchange(t, tt.q, true)
			if m == nil {
				if tt.rcode != -1 {
					t.Error("no answer")
				}
				return
			}
			if m.Rcode != tt.rcode || len(m.Answer) > 0 || m.Id != tt.q.Id {
				t.Errorf("%s, %v", dns.RcodeToString[m.Rcode], m.Answer)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		edns      uint16 // 0: none
		udp       bool
		most      int
		truncated bool
		records   int // at least
	}{
		{"without EDNS", 0, true, 512, true, 10},
		{"a size that is too small", 100, true, 512, true, 10},
		{"large EDNS", 4096, true, 1232, true, 30},
		{"TCP", 0, false, 65535, false, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q := query("many.lb.example.com.", dns.TypeAAAA)
			if tt.edns > 0 {
				q.SetEdns0(tt.edns, true)
			}
			m, size := exchange(t, q, tt.udp)
			if size > tt.most || m.Truncated != tt.truncated || len(m.Answer) < tt.records {
				t.Errorf("%d bytes, truncated %t, %d records", size, m.Truncated, len(m.Answer))
			}
			if opt := m.IsEdns0(); (opt != nil) != (tt.edns > 0) || opt != nil && (!opt.Do() || opt.UDPSize() != 1232) {
				t.Errorf("OPT %v", opt)
			}
		})
	}
}

func TestClientSubnet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, address string
		bits          uint8
		qname, want   string
		scope         uint8
		rcode         int
	}{
		{"of a region", "10.1.2.0", 24, "geo", "192.0.2.1", 13, 0}, // 10.9 differs in the 13th bit
		{"of a part of it", "10.9.2.0", 24, "geo", "192.0.2.2", 16, 0},
		{"of none", "203.0.113.0", 24, "geo", "192.0.2.1 192.0.2.2", 1, 0},
		{"a client that is not to be known", "0.0.0.0", 0, "geo", "192.0.2.1 192.0.2.2", 0, 0},
		{"a name without regions", "10.1.2.0", 24, "v4", "192.0.2.1", 0, 0},
		{"bits behind the prefix", "10.1.2.3", 24, "geo", "", 0, dns.RcodeFormatError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q := query(tt.qname+".lb.example.com.", dns.TypeA).SetEdns0(1232, false)
			subnet := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: tt.bits, Address: net.ParseIP(tt.address)}
			opt := q.IsEdns0()
			opt.Option = append(opt.Option, subnet)
			packed, err := q.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if tt.rcode != 0 { // the library itself clears them
				at := strings.LastIndex(string(packed), "\x0a\x01\x02")
				packed[at+2] = 3
				packed[at-2]--
			}
			response, _ := testHandler().Answer(packed, netip.MustParseAddr("198.51.100.7"), true)
			m := new(dns.Msg)
			if err := m.Unpack(response); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, rr := range m.Answer {
				got = append(got, rr.(*dns.A).A.String())
			}
			slices.Sort(got)
			if strings.Join(got, " ") != tt.want || m.Rcode != tt.rcode {
				t.Errorf("%s %v, want %s %v", dns.RcodeToString[m.Rcode], got, dns.RcodeToString[tt.rcode], tt.want)
			}
			if tt.rcode != 0 {
				return
			}
			back, _ := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
			if back == nil || back.SourceScope != tt.scope || back.SourceNetmask != tt.bits || !back.Address.Equal(subnet.Address) {
				t.Errorf("option %v, want scope %d", m.IsEdns0().Option, tt.scope)
			}
		})
	}
}

// A resolver that sends no subnet is itself the client.
func TestRegionOfResolver(t *testing.T) {
	t.Parallel()
	packed, _ := query("geo.lb.example.com.", dns.TypeA).Pack()
	response, _ := testHandler().Answer(packed, netip.MustParseAddr("::ffff:10.9.0.1"), true)
	m := new(dns.Msg)
	if err := m.Unpack(response); err != nil || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.2" {
		t.Errorf("%v, %v", m.Answer, err)
	}
}

// A limited response says what the whole one does, but for its records.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		q             *dns.Msg
		rcode         int
		authoritative bool
	}{
		{"an answer", query("shop.lb.example.com.", dns.TypeA).SetEdns0(1232, true), 0, true},
		{"without EDNS", query("shop.lb.example.com.", dns.TypeA), 0, true},
		{"no such name", query("nope.lb.example.com.", dns.TypeA).SetEdns0(1232, true), dns.RcodeNameError, true},
		{"another zone", query("example.org.", dns.TypeA), dns.RcodeRefused, false},
		{"an update", new(dns.Msg).SetUpdate("lb.example.com."), -1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			packed, err := tt.q.Pack()
			if err != nil {
				t.Fatal(err)
			}
			whole, _ := testHandler().Answer(packed, netip.MustParseAddr("198.51.100.7"), true)
			short := truncated(packed, whole)
			if short == nil {
				if tt.rcode != -1 {
					t.Error("none")
				}
				return
			}
			m := new(dns.Msg)
			if err := m.Unpack(short); err != nil || len(short) > len(packed) || !m.Truncated || m.Rcode != tt.rcode ||
				m.Authoritative != tt.authoritative || (m.IsEdns0() == nil) != (tt.q.IsEdns0() == nil) || len(m.Answer)+len(m.Ns) > 0 {
				t.Errorf("%v, %v", m, err)
			}
		})
	}
}

// The name servers' addresses make no large response of a small query.
func TestGlueIsBounded(t *testing.T) {
	t.Parallel()
	var servers []NameServer
	for i := range 13 {
		s := NameServer{Name: fmt.Sprintf("ns%d.lb.example.com.", i)}
		for j := range 8 {
			s.Addresses = append(s.Addresses, netip.AddrFrom4([4]byte{192, 0, byte(i), byte(j)}))
		}
		servers = append(servers, s)
	}
	h := NewHandler()
	h.Set(NewZones([]Zone{{Apex: "lb.example.com.", Hostmaster: "h.example.com.", NameServers: servers, NegativeTTL: 5}}))
	packed, _ := query("lb.example.com.", dns.TypeNS).SetEdns0(4096, false).Pack()
	for _, udp := range []bool{true, false} {
		response, _ := h.Answer(packed, netip.MustParseAddr("198.51.100.7"), udp)
		m := new(dns.Msg)
		if err := m.Unpack(response); err != nil || len(m.Answer) != 13 || m.Truncated ||
			udp != (len(m.Extra) == maxGlue+1) || udp && len(response) > 600 {
			t.Errorf("over UDP %t: %d bytes, %d addresses, %v", udp, len(response), len(m.Extra)-1, err)
		}
	}
}

// An error in this server is answered, seen, and does not end it.
func TestOwnErrors(t *testing.T) {
	t.Parallel()
	for what, zone := range map[string]Zone{
		"a panic": {
			Apex: "lb.example.com.", NameServers: []NameServer{{Name: "ns.example.net."}},
			Names: map[string]*Name{"x.lb.example.com.": {Chooser: new(atomic.Pointer[steer.Chooser])}},
		},
		"a record that is none": {Apex: "lb.example.com.", Hostmaster: strings.Repeat("x", 64) + ".example.com."},
	} {
		h := NewHandler()
		var errs []error
		h.failed = func(err error) { errs = append(errs, err) }
		h.Set(NewZones([]Zone{zone}))
		packed, _ := query("x.lb.example.com.", dns.TypeA).Pack()
		response, rcode := h.Answer(packed, netip.MustParseAddr("198.51.100.7"), true)
		m := new(dns.Msg)
		if err := m.Unpack(response); err != nil || rcode != dns.RcodeServerFailure || m.Rcode != rcode || len(errs) != 1 {
			t.Errorf("%s: %v, %v, %v", what, m, err, errs)
		}
	}
}

func TestSubnetLength(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		data  []byte
		rcode int
	}{
		{[]byte{0, 1, 24, 0, 10, 0, 0}, 0},
		{[]byte{0, 1, 0, 0}, 0},
		{[]byte{0, 1, 24, 0, 10, 0, 0, 0}, dns.RcodeFormatError},
		{[]byte{0, 1, 24, 0, 10}, dns.RcodeFormatError},
	} {
		q := query("geo.lb.example.com.", dns.TypeA).SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: tt.data}}
		if m, _ := exchange(t, q, true); m.Rcode != tt.rcode || m.IsEdns0() == nil {
			t.Errorf("%v: %v", tt.data, m)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range []*dns.Msg{
		query("shop.lb.example.com.", dns.TypeA).SetEdns0(4096, true), query("many.lb.example.com.", dns.TypeAAAA),
		query("lb.example.com.", dns.TypeNS), new(dns.Msg).SetUpdate("lb.example.com."), query("x.lb.example.com.", dns.TypeANY),
	} {
		packed, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	h := testHandler()
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, udp := range []bool{true, false} {
			response, rcode := h.Answer(packet, netip.MustParseAddr("10.0.0.1"), udp)
			if response == nil {
				continue
			}
			if udp && len(response) > answerSize {
				t.Errorf("%d bytes", len(response))
			}
			m := new(dns.Msg)
			if err := m.Unpack(response); err != nil || !m.Response || m.Rcode != rcode || response[0] != packet[0] || response[1] != packet[1] {
				t.Errorf("%x: %v, %v", response, m, err)
			}
		}
		whole, _ := h.Answer(packet, netip.MustParseAddr("10.0.0.1"), true)
		if short := truncated(packet, whole); short != nil && len(short) > len(packet) {
			t.Errorf("a limited response is longer than its query: %d, %d bytes", len(short), len(packet))
		}
	})
}
