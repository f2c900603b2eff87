package sim

import (
	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/tunnel/transport"
)

// transport is what a proxy has its tunnels over.
func (r *proxyRun) transport() transport.Transport {
	w := r.proxy.w
	if w.plan.Memory {
		return w.memory.Transport(r.proxy.host.Addr().String())
	}
	tunnels := simnet.Tunnels{Process: r.proc}
	return transport.NewTCP(transport.TCPConfig{Dial: tunnels.Dial, Listen: tunnels.Listen})
}
