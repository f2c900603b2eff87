package external

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Lookup finds a name's addresses of a family, ip4 or ip6, and how long they may be used; zero: that is not known. A name that has none is no
// error.
type Lookup func(ctx context.Context, family, host string) (addresses []netip.Addr, ttl time.Duration, err error)

// System is Resolve without the addresses to which this host has no route, such as those of IPv6 on a host without it.
func System(ctx context.Context, family, host string) ([]netip.Addr, time.Duration, error) {
	found, ttl, err := Resolve(ctx, family, host)
	return slices.DeleteFunc(found, func(a netip.Addr) bool { return !hasRoute(ctx, a) }), ttl, err
}

// Resolve looks names up as the system does: in its file of hosts, then at its name servers. A name with a dot is complete, nothing is
// appended to it.
func Resolve(ctx context.Context, family, host string) ([]netip.Addr, time.Duration, error) {
	return lookup(ctx, family, host, new(net.Dialer).DialContext)
}

// hasRoute is true if the host has an address from which it could send something there. Nothing is sent.
func hasRoute(ctx context.Context, to netip.Addr) bool {
	const discard = 9
	c, err := new(net.Dialer).DialContext(ctx, "udp", netip.AddrPortFrom(to, discard).String())
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// lookup reads the TTLs, which net.Resolver does not return, from the answers on their way to it. It also ends the connections with ctx:
// a net.Resolver that nothing waits for goes on until each name server has had its time.
func lookup(ctx context.Context, family, host string, dial dialFunc) ([]netip.Addr, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var seen ttls
	resolver := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = c.Close() })
		if udp, ok := c.(*net.UDPConn); ok {
			return &packets{udp, &seen}, nil
		}
		return &stream{Conn: c, seen: &seen}, nil
	}}
	if strings.Contains(host, ".") && !strings.HasSuffix(host, ".") {
		host += "."
	}
	found, err := resolver.LookupNetIP(ctx, family, host)
	if none, ok := errors.AsType[*net.DNSError](err); ok && none.IsNotFound {
		return nil, 0, nil
	}
	return found, seen.least(), err
}

// ttls are those of the records in some answers.
type ttls struct {
	mu    sync.Mutex
	known bool
	ttl   time.Duration
}

// least is zero if there were none.
func (t *ttls) least() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ttl
}

// read takes an answer. What is no answer, or none that can be read, changes nothing: the resolver judges it.
func (t *ttls) read(message []byte) {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil || p.SkipAllQuestions() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		h, err := p.AnswerHeader()
		if err != nil || p.SkipAnswer() != nil {
			return
		}
		switch h.Type {
		case dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME:
			if ttl := time.Duration(h.TTL) * time.Second; !t.known || ttl < t.ttl {
				t.known, t.ttl = true, ttl
			}
		}
	}
}

// packets is a connection to a name server over UDP; net.Resolver takes it for one, since it is a net.PacketConn.
type packets struct {
	*net.UDPConn
	seen *ttls
}

func (c *packets) Read(p []byte) (int, error) {
	n, err := c.UDPConn.Read(p)
	if err == nil {
		c.seen.read(p[:n])
	}
	return n, err
}

// stream is one over TCP: each message follows its length.
type stream struct {
	net.Conn
	seen *ttls
	buf  []byte
}

func (c *stream) Read(p []byte) (int, error) {
	const prefix = 2
	n, err := c.Conn.Read(p)
	c.buf = append(c.buf, p[:n]...) // net.Resolver reads no more than the 64 KiB of one message
	if len(c.buf) > prefix && len(c.buf) >= prefix+int(c.buf[0])<<8+int(c.buf[1]) {
		c.seen.read(c.buf[prefix:])
	}
	return n, err
}
