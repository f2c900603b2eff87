package tunnel

import (
	"context"
	"errors"
	"net"
	"syscall"

	"github.com/eastway/eastway/tunnel/transport"
)

// freePortTries is how often another port is tried when any will do and the one that was free on TCP is taken on UDP.
const freePortTries = 32

func defaultTransports(cfg Config) []transport.Transport {
	var all []transport.Transport
	if !cfg.DisableTCP {
		all = append(all, transport.NewTCP(transport.TCPConfig{}))
	}
	if !cfg.DisableQUIC {
		all = append(all, transport.NewQUIC())
	}
	return all
}

// bind opens the sockets to listen on: all transports on the same port. Without Config.Listen there are none.
func (n *Node) bind(ctx context.Context) error {
	if n.cfg.Listen == "" {
		return nil
	}
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
	for _, t := range n.transports {
		ln, err := t.Listen(ctx, addr, n.cfg.Credentials.ServerConfig(), nodeGate{n})
		if err != nil {
			n.closeListeners()
			n.listeners = nil
			return err
		}
		n.listeners = append(n.listeners, ln)
		addr = ln.Addr().String() // port 0 has become a real one
	}
	return nil
}

func (n *Node) closeListeners() {
	for _, ln := range n.listeners {
		_ = ln.Close()
	}
}

func (n *Node) closeTransports() {
	for _, t := range n.transports {
		_ = t.Close()
	}
}
