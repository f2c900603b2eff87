package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/quic-go/quic-go"
)

// freePortTries is how often another port is tried when any will do and the one that was free on TCP is taken on UDP.
const freePortTries = 32

// bind opens the sockets to listen on: TCP and UDP on the same port. Without Listen there are none.
func (n *Node) bind(ctx context.Context) error {
	_, port, _ := net.SplitHostPort(n.cfg.Listen)
	for try := 1; ; try++ {
		err := n.bindOnce(ctx)
		if err == nil || port != "0" || try == freePortTries || !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
}

func (n *Node) bindOnce(ctx context.Context) error {
	addr := n.cfg.Listen
	if addr == "" {
		return nil
	}
	if !n.cfg.DisableTCP {
		lc := net.ListenConfig{Control: setLaneOptions}
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return bindError("TCP", addr, err)
		}
		n.tcp = ln
		addr = ln.Addr().String() // port 0 has become a real one
	}
	if n.cfg.DisableQUIC {
		return nil
	}
	if err := n.bindQUIC(ctx, addr); err != nil {
		if n.tcp != nil {
			_ = n.tcp.Close()
		}
		return err
	}
	return nil
}

func (n *Node) bindQUIC(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return bindError("UDP", addr, err)
	}
	n.quic = &quic.Transport{
		Conn: pc, ConnContext: n.quicConnContext,
		// Addresses are made to prove themselves (one more round trip) once many handshakes are under way: a
		// forged one could otherwise use up the gate.
		VerifySourceAddress: n.gate.busy,
	}
	n.quicLn, err = n.quic.Listen(n.cfg.Credentials.ServerConfig(), quicConfig())
	if err != nil {
		n.closeQUIC()
		return fmt.Errorf("tunnel: listen for QUIC on %s: %w", addr, err)
	}
	return nil
}

func (n *Node) closeQUIC() {
	if n.quic != nil {
		_ = n.quic.Close()
		_ = n.quic.Conn.Close()
	}
}

func bindError(network, addr string, err error) error {
	hint := "check that the address is one of this machine's"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another process has it: stop that one or choose another port (--listen)"
	case errors.Is(err, syscall.EACCES):
		hint = "no permission to bind it: choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
	}
	return fmt.Errorf("tunnel: listen for tunnels on %s %s: %w: %s", network, addr, err, hint)
}
