package discovery

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// hostAddressesFor is how long the addresses of this host's interfaces are taken to be the same: reading them is a system call, and
// they hardly change while a process runs.
const hostAddressesFor = 5 * time.Second

// Refusal is why an address is not used as an endpoint; empty: it may be.
type Refusal string

// Refusals, as metrics name them.
const (
	RefusedUnspecified Refusal = "unspecified"
	RefusedLoopback    Refusal = "loopback"
	RefusedLinkLocal   Refusal = "link_local"
	RefusedMulticast   Refusal = "multicast"
	RefusedOwnPort     Refusal = "own_port"
	RefusedLoop        Refusal = "loop"
)

// Refusals are all kinds.
func Refusals() []Refusal {
	return []Refusal{RefusedLinkLocal, RefusedLoop, RefusedLoopback, RefusedMulticast, RefusedOwnPort, RefusedUnspecified}
}

// Text is what is wrong with the endpoint, for the operator.
func (r Refusal) Text() string {
	switch r {
	case RefusedUnspecified:
		return "is not the address of a host"
	case RefusedLoopback:
		return "is a loopback address, and --allow-loopback-endpoints is off"
	case RefusedLinkLocal:
		return "is a link-local address, where clouds serve metadata and credentials"
	case RefusedMulticast:
		return "is a multicast or broadcast address"
	case RefusedOwnPort:
		return "is the tunnel, admin or health port of a proxy"
	case RefusedLoop:
		return "leads back to the proxies of this cluster: calls would loop"
	}
	return string(r)
}

// Guard decides which addresses may be endpoints. Its methods may be called from any goroutine; a nil Guard allows no loopback
// addresses, and knows no own ports.
type Guard struct {
	// AllowLoopback allows endpoints at loopback addresses, but for own ports.
	AllowLoopback bool
	// Host returns the addresses of this host; nil: those of its interfaces.
	Host func() ([]netip.Addr, error)

	mu   sync.Mutex
	own  []netip.AddrPort
	host []netip.Addr
	read time.Time
}

// Own adds an address on which this process itself listens, other than for services. An unspecified IP stands for all of the host's; without
// a port it is ignored.
func (g *Guard) Own(at netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if at.IsValid() && at.Port() != 0 && !slices.Contains(g.own, at) {
		g.own = append(g.own, at)
	}
}

// Check is why no endpoint may have that address.
func (g *Guard) Check(endpoint netip.AddrPort) Refusal {
	a := endpoint.Addr().WithZone("").Unmap()
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.Is4() && a.As4()[0] == 0: // 0.0.0.0/8 is "this network"
		return RefusedUnspecified
	case a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return RefusedMulticast
	case a.IsLinkLocalUnicast():
		return RefusedLinkLocal
	case g == nil && a.IsLoopback():
		return RefusedLoopback
	case g == nil:
		return ""
	case g.isOwn(netip.AddrPortFrom(a, endpoint.Port())):
		return RefusedOwnPort
	case a.IsLoopback() && !g.AllowLoopback:
		return RefusedLoopback
	}
	return ""
}

func (g *Guard) isOwn(endpoint netip.AddrPort) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, own := range g.own {
		if own == endpoint || own.Port() == endpoint.Port() && own.Addr().IsUnspecified() && g.isHost(endpoint.Addr()) {
			return true
		}
	}
	return false
}

// OwnPort is true for the number of a port on which this process listens, other than for services, at any address.
func (g *Guard) OwnPort(port uint16) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.own, func(own netip.AddrPort) bool { return own.Port() == port })
}

// IsHost is true for an address of this host.
func (g *Guard) IsHost(a netip.Addr) bool {
	if g == nil {
		return a.Unmap().IsLoopback()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.isHost(a.Unmap())
}

func (g *Guard) isHost(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	if now := time.Now(); g.read.IsZero() || now.Sub(g.read) > hostAddressesFor {
		read := g.Host
		if read == nil {
			read = interfaceAddresses
		}
		if host, err := read(); err == nil { // else those that were read before
			g.host = host
		}
		g.read = now
	}
	return slices.Contains(g.host, a)
}

func interfaceAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("discovery: read the addresses of this host: %w", err)
	}
	out := make([]netip.Addr, 0, len(all))
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out, nil
}
