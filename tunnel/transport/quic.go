package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// QUIC carries streams over UDP, without head-of-line blocking between them.
type QUIC struct {
	wg     sync.WaitGroup
	closed chan struct{}
	once   sync.Once
}

// NewQUIC returns a transport that must be closed.
func NewQUIC() *QUIC { return &QUIC{closed: make(chan struct{})} }

// Caps implements Transport.
func (t *QUIC) Caps() Caps { return quicCaps() }

// Close implements Transport.
func (t *QUIC) Close() error {
	t.once.Do(func() { close(t.closed) })
	t.wg.Wait()
	return nil
}

// Dial implements Transport. It dials a name's addresses one after the other, as net.Dialer does, until one answers.
func (t *QUIC) Dial(ctx context.Context, to Target) (Session, error) {
	var r net.Resolver
	host, port, err := net.SplitHostPort(to.Address)
	if err != nil {
		return nil, fmt.Errorf("tunnel: address %q of peer %s: %w", to.Address, to.Peer, err)
	}
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("tunnel: QUIC to peer %s: %w", to.Peer, err)
	}
	return t.dialEach(ctx, to, ips, port)
}

func (t *QUIC) dialEach(ctx context.Context, to Target, ips []netip.Addr, port string) (sess Session, err error) {
	err = fmt.Errorf("tunnel: QUIC to peer %s: the name has no address", to.Peer)
	for i, ip := range ips {
		var addr *net.UDPAddr
		if addr, err = net.ResolveUDPAddr("udp", net.JoinHostPort(ip.Unmap().String(), port)); err != nil {
			return nil, fmt.Errorf("tunnel: QUIC to peer %s: %w", to.Peer, err)
		}
		if sess, err = t.dialUDP(ctx, to, addr, len(ips)-i); err == nil || ctx.Err() != nil {
			break
		}
	}
	return sess, err
}

// dialUDP takes an equal part of the time that is left for so many addresses: one of them may lead nowhere from here, such as
// that of the other IP family.
func (t *QUIC) dialUDP(ctx context.Context, to Target, addr *net.UDPAddr, left int) (Session, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	// A socket of its own: a load balancer may lead each port elsewhere, and a path that has gone deaf can be left.
	socket, err := newMovingSocket(addr)
	if err != nil {
		return nil, fmt.Errorf("tunnel: QUIC to peer %s: %w", to.Peer, err)
	}
	tr := &quic.Transport{Conn: socket, ConnectionIDGenerator: &socket.ids}
	c, err := tr.Dial(ctx, addr, to.TLS, quicConfig())
	if err != nil {
		closeTransport(tr, socket)
		return nil, fmt.Errorf("tunnel: QUIC to peer %s at %s: %w", to.Peer, to.Address, inTime(err))
	}
	t.wg.Go(func() {
		<-c.Context().Done()
		t.linger()
		closeTransport(tr, socket)
	})
	return newQUICSession(c, socket), nil
}

func (t *QUIC) linger() {
	timer := time.NewTimer(quicLinger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.closed:
	}
}

func closeTransport(tr *quic.Transport, socket net.PacketConn) {
	_ = tr.Close()
	_ = socket.Close()
}

// Listen implements Transport.
func (t *QUIC) Listen(ctx context.Context, addr string, cfg *tls.Config, gate Gate) (Listener, error) {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, bindError("UDP", addr, err)
	}
	l := &quicListener{gate: gate}
	l.transport = &quic.Transport{
		Conn: pc, ConnContext: l.connContext,
		// Addresses are made to prove themselves (one more round trip) once many handshakes are under way: forged ones
		// could otherwise take the places of others.
		VerifySourceAddress: gate.Busy,
	}
	verifying := watchHello(verifyInTurn(cfg)) //nolint:contextcheck // the ClientHello has the connection's
	qcfg := quicConfig()
	qcfg.HandshakeIdleTimeout = clientHelloTimeout
	l.ln, err = l.transport.ListenEarly(verifying, qcfg) // early: connections can be ended before they have proved anything
	if err != nil {
		closeTransport(l.transport, pc)
		return nil, fmt.Errorf("tunnel: listen for QUIC on %s: %w", addr, err)
	}
	t.wg.Go(func() { // sessions use the socket until the end
		<-t.closed
		closeTransport(l.transport, pc)
	})
	return l, nil
}
