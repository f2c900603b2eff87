package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// Devices inside the machines.
const (
	devBridge  = "br0"      // of the internet, and of a site
	devOutside = "internet" // a site's end of the line to the internet
	devNode    = "eth0"     // of a node, and of the control machine
)

// viaInternet is the metric of routes between sites: a worse one than those of
// an emulated WAN, which come without, so that they are preferred while there are any.
const viaInternet = 100

// within calls f in a machine's network.
func within(m *machine.Machine, f func() error) error {
	network, err := m.Network()
	if err != nil {
		return err
	}
	return errors.Join(network.Do(f), network.Close())
}

// addBridge makes a bridge in a machine, with addresses.
func addBridge(m *machine.Machine, addresses ...netip.Prefix) error {
	return within(m, func() error {
		bridge := &netlink.Bridge{LinkAttrs: attributes(devBridge)}
		if err := netlink.LinkAdd(bridge); err != nil {
			return fmt.Errorf("lab: make the bridge of %s: %w", m.Name(), err)
		}
		return furnish(devBridge, addresses...)
	})
}

// wire is a cable from a port of a machine's bridge to a device elsewhere.
type wire struct {
	bridge    *machine.Machine
	port      string           // the bridge's end
	to        *machine.Machine // nil: this computer
	device    string           // the other end
	addresses []netip.Prefix   // of the other end
}

// lay the wire. It goes with either end.
func (w wire) lay() error {
	// Opened here, since any thread of this process may be inside a machine for a while.
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("lab: open the own network namespace: %w", err)
	}
	defer here.Close()
	err = within(w.bridge, func() error {
		veth := &netlink.Veth{LinkAttrs: attributes(w.port), PeerName: w.device}
		if w.to != nil {
			veth.PeerNamespace = netlink.NsPid(w.to.PID())
		} else {
			veth.PeerNamespace = netlink.NsFd(int(here.Fd()))
		}
		// The kernel removes the port of a machine that was killed a little later.
		if err := removeDevice(w.port); err != nil {
			return err
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("add: %w", err)
		}
		bridge, err := netlink.LinkByName(devBridge)
		if err != nil {
			return fmt.Errorf("find the bridge: %w", err)
		}
		if err := netlink.LinkSetMaster(veth, bridge); err != nil {
			return fmt.Errorf("plug into the bridge: %w", err)
		}
		return netlink.LinkSetUp(veth)
	})
	if err == nil {
		up := func() error { return furnish(w.device, w.addresses...) }
		if w.to == nil {
			err = up()
		} else {
			err = within(w.to, up)
		}
	}
	if err != nil {
		return fmt.Errorf("lab: lay a wire from %s to %s: %w", w.bridge.Name(), w.port, err)
	}
	return nil
}

func attributes(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU = name, mtu
	return a
}

// furnish a device of the current network with addresses and set it up.
func furnish(device string, addresses ...netip.Prefix) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	for _, address := range addresses {
		one := &netlink.Addr{IPNet: ipNet(address)}
		if address.Addr().Is6() {
			one.Flags = unix.IFA_F_NODAD // no other host has it
		}
		if err := netlink.AddrAdd(link, one); err != nil {
			return fmt.Errorf("give %s the address %s: %w", device, address, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", device, err)
	}
	return nil
}

// addRoute to a network in the current network.
func addRoute(to netip.Prefix, via netip.Addr, metric int) error {
	route := &netlink.Route{Dst: ipNet(to), Gw: via.AsSlice(), Priority: metric}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("lab: add the route to %s via %s: %w", to, via, err)
	}
	return nil
}

// refuse packets to a network instead of sending them anywhere.
func refuse(to netip.Prefix) error {
	route := &netlink.Route{Dst: ipNet(to), Type: syscall.RTN_UNREACHABLE}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("lab: refuse the network %s: %w", to, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// nft is the family's name in nftables.
func (f family) nft() string {
	if f == ipv6 {
		return "ip6"
	}
	return "ip"
}

// anywhere is the network of the default route.
func (f family) anywhere() netip.Prefix {
	if f == ipv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// route sets the loopback device of the current network up, and lets it forward
// packets of families, whatever way they come.
func route(families []family) error {
	if err := furnish("lo"); err != nil {
		return err
	}
	settings := []string{
		"ipv4/ip_forward=1",
		"ipv4/conf/all/rp_filter=0",
		"ipv4/conf/default/rp_filter=0",
		"ipv4/conf/all/route_localnet=1", // NodePorts on 127.0.0.1, as kube-proxy has them
	}
	if slices.Contains(families, ipv6) {
		settings = append(settings,
			"ipv6/conf/all/forwarding=1",
			"ipv6/conf/default/forwarding=1",
			"ipv6/conf/all/accept_dad=0", // addresses work at once: no other host has them
			"ipv6/conf/default/accept_dad=0",
		)
	}
	for _, name := range settings {
		name, value, _ := strings.Cut(name, "=")
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("lab: set the sysctl net/%s to %s: %w", name, value, err)
		}
	}
	return nil
}
