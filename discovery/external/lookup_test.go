package external

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is a name server on real sockets: it has some names under example.test.
type zone struct {
	udp *net.UDPConn
	tcp net.Listener
	wg  sync.WaitGroup
}

func startZone(t *testing.T) *zone {
	t.Helper()
	tcp, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := tcp.Addr().(*net.TCPAddr)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port})
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{udp: udp, tcp: tcp}
	z.wg.Go(z.servePackets)
	z.wg.Go(z.serveStreams)
	t.Cleanup(func() {
		_, _ = udp.Close(), tcp.Close()
		z.wg.Wait()
	})
	return z
}

// dial leads to the zone, whatever name servers this host has.
func (z *zone) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, z.tcp.Addr().String())
}

func (z *zone) servePackets() {
	for b := make([]byte, 2048); ; {
		n, from, err := z.udp.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if a := answer(b[:n], false); a != nil {
			_, _ = z.udp.WriteToUDPAddrPort(a, from)
		}
	}
}

func (z *zone) serveStreams() {
	for {
		c, err := z.tcp.Accept()
		if err != nil {
			return
		}
		z.wg.Go(func() {
			defer c.Close()
			var length [2]byte
			if _, err := io.ReadFull(c, length[:]); err != nil {
				return
			}
			b := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			a := answer(b, true)
			_, _ = c.Write(binary.BigEndian.AppendUint16(nil, uint16(len(a))))
			for _, one := range a { // in as many pieces as there may be
				_, _ = c.Write([]byte{one})
			}
		})
	}
}

// answer is that to a question; nil: none.
func answer(question []byte, whole bool) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	host, _, _ := strings.Cut(q.Name.String(), ".example.test.")
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	add := func(ttl uint32, body dnsmessage.ResourceBody) {
		r := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: ttl}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: r, Body: body})
	}
	v4 := q.Type == dnsmessage.TypeA
	switch {
	case host == "silent", host == "silent6" && !v4:
		return nil
	case host == "none":
		m.RCode = dnsmessage.RCodeNameError
	case host == "broken":
		m.RCode = dnsmessage.RCodeServerFailure
	case host == "large" && !whole:
		m.Truncated = true
	case host == "alias" && v4:
		add(7, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("one.example.test.")})
		add(300, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}})
		m.Answers[1].Header.Name = dnsmessage.MustNewName("one.example.test.")
	case v4 && host != "six" && host != "empty":
		add(60, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}})
		add(60, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 2}})
	case q.Type == dnsmessage.TypeAAAA && (host == "six" || host == "both"):
		add(20, &dnsmessage.AAAAResource{AAAA: [16]byte{0xfd, 15: 1}})
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// Addresses and the least TTL come from the answers themselves, over UDP and TCP.
func TestLookup(t *testing.T) {
	t.Parallel()
	z := startZone(t)
	for _, tt := range []struct {
		family, host, want string
		ttl                time.Duration
		err                string
	}{
		{"ip4", "one", "[10.0.0.1 10.0.0.2]", time.Minute, ""},
		{"ip6", "one", "[]", 0, ""},
		{"ip6", "six", "[fd00::1]", 20 * time.Second, ""},
		{"ip4", "six", "[]", 0, ""},
		{"ip4", "both", "[10.0.0.1 10.0.0.2]", time.Minute, ""},
		{"ip6", "both", "[fd00::1]", 20 * time.Second, ""},
		{"ip4", "alias", "[10.0.0.1]", 7 * time.Second, ""},
		{"ip4", "large", "[10.0.0.1 10.0.0.2]", time.Minute, ""},
		{"ip4", "none", "[]", 0, ""},
		{"ip4", "empty", "[]", 0, ""},
		{"ip4", "broken", "", 0, "server misbehaving"},
		{"ip4", "silent", "", 0, "no name server answers in time"},
		{"ip4", "silent6", "[10.0.0.1 10.0.0.2]", time.Minute, ""},
		{"ip6", "silent6", "", 0, "no name server answers in time"},
	} {
		t.Run(tt.family+" "+tt.host, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			if strings.Contains(tt.err, "in time") {
				short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				ctx = short
			}
			found, ttl, err := lookup(ctx, tt.family, tt.host+".example.test", z.dial)
			if tt.err != "" {
				if err == nil || reason(err) != tt.err {
					t.Errorf("%v, %v", found, err)
				}
				return
			}
			if got := fmt.Sprint(unique(found)); err != nil || got != tt.want || ttl != tt.ttl {
				t.Errorf("%s for %v, %v; want %s for %v", got, ttl, err, tt.want, tt.ttl)
			}
		})
	}
}

// The system's file of hosts counts, and what this host has no way to does not.
func TestSystem(t *testing.T) {
	t.Parallel()
	if found, _, err := System(t.Context(), "ip4", "localhost"); err != nil || fmt.Sprint(unique(found)) != "[127.0.0.1]" {
		t.Errorf("%v, %v", found, err)
	}
	if hasRoute(t.Context(), netip.MustParseAddr("fe80::1%no-such-interface")) || !hasRoute(t.Context(), netip.MustParseAddr("127.0.0.1")) {
		t.Error("routes")
	}
}

// What is no address of a name server, and what is no answer, does no harm.
func TestLookupFails(t *testing.T) {
	t.Parallel()
	_, _, err := lookup(t.Context(), "ip4", "one.example.test", func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no way there")
	})
	if err == nil || !strings.Contains(reason(err), "no way there") {
		t.Errorf("%v", err)
	}
	var seen ttls
	for _, b := range []string{"", "x", strings.Repeat("\xff", 600)} {
		seen.read([]byte(b))
	}
	if seen.known {
		t.Errorf("%v", seen.ttl)
	}
}

// FuzzTTL: the name servers are not ours.
func FuzzTTL(f *testing.F) {
	q := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("both.example.test."), Type: dnsmessage.TypeA}}}
	b, err := q.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer(b, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		var seen ttls
		seen.read(b)
		if ttl := seen.least(); ttl < 0 {
			t.Errorf("%v", ttl)
		}
	})
}
