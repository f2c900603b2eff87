package simnet

import (
	"net/netip"
	"time"
)

// watchIdle ends connections that are idle while keepalives get no answer, as keepalives do. It is called when a silence begins.
func (n *Network) watchIdle(a, b netip.Addr) {
	for _, c := range n.between(a, b) {
		c.watchIdle()
	}
}

// watchIdleHost is watchIdle for the other ends of a host that has vanished.
func (n *Network) watchIdleHost(addr netip.Addr) {
	for _, c := range n.sorted(func(c *Conn) bool { return c.remote.Addr() == addr && !c.closed }) {
		c.watchIdle()
	}
}

func (c *Conn) watchIdle() {
	if c.idle != nil {
		c.idle.Stop()
	}
	c.idle = time.AfterFunc(keepAliveTimeout, func() {
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		here, there := c.local.Addr(), c.remote.Addr()
		if c.closed || c.net.reaches(here, there) && c.net.reaches(there, here) {
			return
		}
		c.fail(errTimeout)
	})
}
