package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"
)

func (d *linkDialer) dialTCP(ctx context.Context) (session, error) {
	cfg, err := clientTLS(d.n, d.peer)
	if err != nil {
		return nil, err
	}
	nd := net.Dialer{Control: setLaneOptions}
	c, err := nd.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, fmt.Errorf("tunnel: TCP to peer %s: %w", d.peer, inTime(err))
	}
	pulse := newPulseConn(c.(*net.TCPConn)) //nolint:forcetypeassert // network is tcp
	conn := tls.Client(pulse, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		d.n.handshakeFailed(err)
		return nil, fmt.Errorf("tunnel: TLS with peer %s at %s: %w", d.peer, d.addr, inTime(err))
	}
	sess, err := newTCPSession(conn, pulse, true)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return sess, nil
}

func (d *linkDialer) dialQUIC(ctx context.Context) (session, error) {
	cfg, err := clientTLS(d.n, d.peer)
	if err != nil {
		return nil, err
	}
	var r net.Resolver
	host, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		return nil, fmt.Errorf("tunnel: address %q of peer %s: %w", d.addr, d.peer, err)
	}
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("tunnel: QUIC to peer %s: %w", d.peer, err)
	}
	return d.dialEach(ctx, ips, port, cfg)
}

// dialEach dials a name's addresses one after the other, as net.Dialer does, until one answers.
func (d *linkDialer) dialEach(ctx context.Context, ips []netip.Addr, port string, cfg *tls.Config) (sess session, err error) {
	err = fmt.Errorf("tunnel: QUIC to peer %s: the name has no address", d.peer)
	for i, ip := range ips {
		var addr *net.UDPAddr
		if addr, err = net.ResolveUDPAddr("udp", net.JoinHostPort(ip.Unmap().String(), port)); err != nil {
			return nil, fmt.Errorf("tunnel: QUIC to peer %s: %w", d.peer, err)
		}
		if sess, err = d.dialUDP(ctx, addr, cfg, len(ips)-i); err == nil || ctx.Err() != nil {
			break
		}
	}
	return sess, err
}

// dialUDP takes an equal part of the time that is left for so many addresses: one of them may lead nowhere from here, such as
// that of the other IP family.
func (d *linkDialer) dialUDP(ctx context.Context, addr *net.UDPAddr, cfg *tls.Config, left int) (session, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	// A socket of its own: a load balancer may lead each port elsewhere, and a path that has gone deaf can be left.
	socket, err := newMovingSocket(addr)
	if err != nil {
		return nil, fmt.Errorf("tunnel: QUIC to peer %s: %w", d.peer, err)
	}
	tr := &quic.Transport{Conn: socket, ConnectionIDGenerator: &socket.ids}
	c, err := tr.Dial(ctx, addr, cfg, quicConfig())
	if err != nil {
		closeTransport(tr, socket)
		d.n.handshakeFailed(err)
		return nil, fmt.Errorf("tunnel: QUIC to peer %s at %s: %w", d.peer, d.addr, inTime(err))
	}
	d.n.wg.Go(func() {
		<-c.Context().Done()
		d.linger()
		closeTransport(tr, socket)
	})
	sess := newQUICSession(c)
	sess.socket = socket
	return sess, nil
}

// quicLinger is how long the socket of a closed QUIC connection stays: the word of the end may get lost, and is repeated
// when the peer goes on sending. A ping comes within it.
const quicLinger = time.Second

func (d *linkDialer) linger() {
	t := time.NewTimer(quicLinger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.shutdown:
	}
}

func closeTransport(tr *quic.Transport, socket *movingSocket) {
	_ = tr.Close()
	_ = socket.Close()
}

// handshakeFailed counts our own refusals of a peer's certificate; a peer that cannot be reached is not one.
func (n *Node) handshakeFailed(err error) {
	if reason := n.cfg.Reason(err); reason != reasonOther {
		n.metrics.refused(reason)
	}
}
