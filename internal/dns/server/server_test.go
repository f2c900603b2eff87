package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// start runs a server on a free port of that host.
func start(t *testing.T, host string, rate int) (s *Server, port string) {
	t.Helper()
	s, err := Listen(t.Context(), Config{
		Listen: net.JoinHostPort(host, "0"), Handler: testHandler(), Rate: rate, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s, fmt.Sprint(s.Addr().Port())
}

func ask(t *testing.T, network, address string, q *dns.Msg) *dns.Msg {
	t.Helper()
	m, _, err := (&dns.Client{Net: network}).ExchangeContext(t.Context(), q, address)
	if err != nil {
		t.Fatalf("%s: %v", network, err)
	}
	return m
}

func TestServerOverUDPAndTCP(t *testing.T) {
	t.Parallel()
	s, port := start(t, "127.99.53.1", 0)
	address := net.JoinHostPort("127.99.53.1", port)
	for _, network := range []string{"udp", "tcp"} {
		m := ask(t, network, address, query("shop.lb.example.com.", dns.TypeA))
		if got := sections(m); got != "shop.lb.example.com. 5 IN A 192.0.2.1" {
			t.Errorf("%s: %s", network, got)
		}
		if n := testutil.ToFloat64(s.metrics.responses.WithLabelValues(network, "NOERROR")); n != 1 {
			t.Errorf("%s: %v responses are counted", network, n)
		}
	}
	many := query("many.lb.example.com.", dns.TypeAAAA)
	if m := ask(t, "udp", address, many); !m.Truncated {
		t.Error("not truncated")
	}
	if m := ask(t, "tcp", address, many); m.Truncated || len(m.Answer) != 100 {
		t.Errorf("%d records over TCP", len(m.Answer))
	}
}

// A server on all addresses answers from the one that got the query: a connected socket takes nothing else.
func TestServerAnswersFromTheAddressOfTheQuery(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "0.0.0.0"} {
		_, port := start(t, host, 0)
		for _, at := range []string{"127.99.53.2", "127.0.0.1"} {
			if m := ask(t, "udp", net.JoinHostPort(at, port), query("shop.lb.example.com.", dns.TypeA)); len(m.Answer) != 1 {
				t.Errorf("%q at %s: %v", host, at, m)
			}
		}
	}
}

func TestServerLimitsResponses(t *testing.T) {
	t.Parallel()
	s, port := start(t, "127.99.53.3", 1)
	address := net.JoinHostPort("127.99.53.3", port)
	packed, _ := query("shop.lb.example.com.", dns.TypeA).Pack()
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 2048)
	for range 50 { // until a response is a truncated one
		for range 3 {
			if _, err := c.Write(packed); err != nil {
				t.Fatal(err)
			}
		}
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		m := new(dns.Msg)
		if err := m.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		if m.Truncated {
			if len(m.Answer) != 0 || n > len(packed) {
				t.Errorf("%d bytes for a query of %d", n, len(packed))
			}
			if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0], "--rate") {
				t.Errorf("problems %q", p)
			}
			if m := ask(t, "tcp", address, query("shop.lb.example.com.", dns.TypeA)); len(m.Answer) != 1 {
				t.Error("TCP is limited, too")
			}
			return
		}
	}
	t.Error("no response is truncated")
}

func TestServerBoundsConnections(t *testing.T) {
	t.Parallel()
	s, port := start(t, "127.99.53.4", 0)
	var conns []net.Conn
	for range maxConnsPerClient + 1 {
		c, err := net.Dial("tcp", net.JoinHostPort("127.99.53.4", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns = append(conns, c)
	}
	if _, err := conns[0].Read(make([]byte, 1)); err == nil {
		t.Error("the oldest connection is open")
	}
	last := &dns.Conn{Conn: conns[len(conns)-1]}
	for range 2 { // queries of one connection
		if err := last.WriteMsg(query("shop.lb.example.com.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if m, err := last.ReadMsg(); err != nil || len(m.Answer) != 1 {
			t.Errorf("%v, %v", m, err)
		}
	}
	if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0], "lost its place") {
		t.Errorf("problems %q", p)
	}
}

// What is no query ends the connection; nothing is sent.
func TestServerClosesOnGarbage(t *testing.T) {
	t.Parallel()
	_, port := start(t, "127.99.53.5", 0)
	for _, garbage := range []string{"\x00\x00", "\xff\xff", "\x00\x03abc", "GET / HTTP/1.1\r\n\r\n"} {
		c, err := net.Dial("tcp", net.JoinHostPort("127.99.53.5", port))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, garbage); err != nil {
			t.Error(err)
		}
		if text, _ := io.ReadAll(c); len(text) > 0 {
			t.Errorf("%q is answered: %q", garbage, text)
		}
		c.Close()
	}
}

// A message in two parts, and a client that ends in the middle.
func TestServerReadsPartsOfMessages(t *testing.T) {
	t.Parallel()
	_, port := start(t, "127.99.53.6", 0)
	c, err := net.Dial("tcp", net.JoinHostPort("127.99.53.6", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	packed, _ := query("shop.lb.example.com.", dns.TypeA).Pack()
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)
	for _, part := range [][]byte{framed[:1], framed[1:20], framed[20:]} {
		if _, err := c.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := (&dns.Conn{Conn: c}).ReadMsg(); err != nil || len(m.Answer) != 1 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestListenFails(t *testing.T) {
	t.Parallel()
	s, port := start(t, "127.99.53.7", 0)
	if _, err := Listen(t.Context(), Config{Listen: "127.99.53.7:" + port, Handler: NewHandler()}); err == nil ||
		!strings.Contains(err.Error(), "another process has this port") {
		t.Errorf("%v", err)
	}
	if s.Addr().Addr() != netip.MustParseAddr("127.99.53.7") {
		t.Error(s.Addr())
	}
}

// dig is what operators look with.
func TestServerWithDig(t *testing.T) {
	t.Parallel()
	dig, err := exec.LookPath("dig")
	if err != nil {
		t.Log("dig is not installed (apt-get install bind9-dnsutils): the other tests use a client of Go")
		return
	}
	_, port := start(t, "127.99.53.8", 0)
	for args, want := range map[string]string{
		"+short shop.lb.example.com A":               "192.0.2.1\n",
		"+short +tcp shop.lb.example.com AAAA":       "2001:db8::1\n",
		"+short many.lb.example.com AAAA":            "2001:db8::64\n", // by TCP, since UDP is truncated
		"+subnet=10.9.1.0/24 geo.lb.example.com":     "CLIENT-SUBNET: 10.9.1.0/24/16",
		"+dnssec nope.lb.example.com":                "status: NXDOMAIN",
		"version.bind CH TXT":                        "status: REFUSED",
		"+notcp lb.example.com AXFR":                 "Transfer failed",
		"+short +norecurse lb.example.com NS":        "ns1.lb.example.com.\n",
		"+nocookie +ednsopt=65001:00 lb.example.com": "192.0.2.7",
	} {
		line := append([]string{"@127.99.53.8", "-p", port, "+tries=1"}, strings.Fields(args)...)
		out, err := exec.CommandContext(t.Context(), dig, line...).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("dig %s: %v\n%s", args, err, out)
		}
	}
}
