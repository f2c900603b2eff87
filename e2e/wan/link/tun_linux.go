package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/wan/netns"
)

// tunPath is where the kernel hands out TUN devices.
const tunPath = "/dev/net/tun"

// device is a TUN device in a network namespace. It goes away with its file.
type device struct {
	file   *os.File
	fd     int
	handle *netlink.Handle // in the device's namespace
	index  int
}

// openDevice makes the device of an end, with addresses and routes.
func openDevice(end End, mtu int) (*device, error) {
	ns, err := netns.Open(end.Namespace)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	var d *device
	err = ns.Do(func() (err error) {
		d, err = createTUN(end.Device)
		if err != nil {
			return err
		}
		return d.configure(end, mtu)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("link: device %s in network namespace %q: %w", end.Device, end.Namespace, err), d.close())
	}
	return d, nil
}

// createTUN makes a device in the network namespace of the calling thread.
func createTUN(name string) (*device, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", tunPath, err)
	}
	// Only to close it: reads and writes go past Go's poller (see pump).
	d := &device{file: os.NewFile(uintptr(fd), tunPath), fd: fd}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return d, fmt.Errorf("name: %w", err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return d, fmt.Errorf("create (is there one of that name?): %w", err)
	}
	d.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return d, fmt.Errorf("open netlink: %w", err)
	}
	return d, nil
}

// configure sets the device up, in the network namespace of the calling thread.
func (d *device) configure(end End, mtu int) error {
	if err := quiet(end.Device, hasIPv6(end.Addresses) || hasIPv6(end.Routes)); err != nil {
		return err
	}
	dev, err := d.handle.LinkByName(end.Device)
	if err != nil {
		return fmt.Errorf("find: %w", err)
	}
	d.index = dev.Attrs().Index
	if err := d.handle.LinkSetMTU(dev, mtu); err != nil {
		return fmt.Errorf("set MTU %d: %w", mtu, err)
	}
	if err := d.handle.LinkSetTxQLen(dev, deviceQueue); err != nil {
		return fmt.Errorf("set queue length: %w", err)
	}
	if err := d.handle.LinkSetUp(dev); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	for _, prefix := range end.Addresses {
		if err := d.handle.AddrAdd(dev, address(prefix)); err != nil {
			return fmt.Errorf("add address %v: %w", prefix, err)
		}
	}
	for _, prefix := range end.Addresses {
		if err := d.reachable(prefix.Addr()); err != nil {
			return err
		}
	}
	for _, prefix := range end.Routes {
		route := &netlink.Route{LinkIndex: d.index, Dst: address(prefix.Masked()).IPNet, Scope: unix.RT_SCOPE_LINK}
		if err := d.handle.RouteAdd(route); err != nil {
			return fmt.Errorf("add route %v: %w", prefix, err)
		}
	}
	return nil
}

// quiet keeps the kernel from sending packets of its own through the device:
// they would be counted, and lost, among those that a measurement sends.
func quiet(name string, ipv6 bool) error {
	dir := "/proc/sys/net/ipv6/conf/" + name
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) && !ipv6 {
		return nil // a kernel without IPv6
	}
	settings := map[string]string{"disable_ipv6": "1"}
	if ipv6 {
		const noLinkLocal = "1"
		settings = map[string]string{"disable_ipv6": "0", "addr_gen_mode": noLinkLocal, "accept_dad": "0", "router_solicitations": "0"}
	}
	for setting, value := range settings {
		if err := os.WriteFile(dir+"/"+setting, []byte(value), 0); err != nil {
			return fmt.Errorf("set sysctl net.ipv6.conf.%s.%s=%s: %w", name, setting, value, err)
		}
	}
	return nil
}

// reachable waits until an address of the device answers: a worker of the
// kernel makes the route to an IPv6 address some time after the address.
func (d *device) reachable(addr netip.Addr) error {
	if addr.Is4() {
		return nil
	}
	deadline := time.NewTimer(addressTime)
	defer deadline.Stop()
	ticker := time.NewTicker(addressTick)
	defer ticker.Stop()
	for {
		routes, err := d.handle.RouteGet(addr.AsSlice())
		if err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			return fmt.Errorf("address %v is still not reachable after %v (route %v): %w", addr, addressTime, routes, err)
		}
	}
}

func hasIPv6(prefixes []netip.Prefix) bool {
	for _, prefix := range prefixes {
		if prefix.Addr().Is6() {
			return true
		}
	}
	return false
}

// address without duplicate address detection: the line has no other hosts.
func address(prefix netip.Prefix) *netlink.Addr {
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return addr
}

// missed is how many packets the kernel dropped because we did not come to read them.
func (d *device) missed() (uint64, error) {
	dev, err := d.handle.LinkByIndex(d.index)
	if err != nil {
		return 0, fmt.Errorf("link: read the device's statistics: %w", err)
	}
	return dev.Attrs().Statistics.TxDropped, nil
}

// close removes the device.
func (d *device) close() error {
	if d == nil {
		return nil
	}
	if d.handle != nil {
		d.handle.Close()
	}
	return d.file.Close()
}
