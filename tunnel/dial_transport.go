package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
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
	addr, err := net.ResolveUDPAddr("udp", net.JoinHostPort(ips[0].Unmap().String(), port))
	if err != nil {
		return nil, fmt.Errorf("tunnel: QUIC to peer %s: %w", d.peer, err)
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
