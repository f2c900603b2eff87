package shortage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

// Resource is what there is too little of, as the metric names it.
type Resource string

// What a host or process can be short of.
const (
	Files  Resource = "files"
	Memory Resource = "memory"
	Ports  Resource = "ports"
	// Routes is what a host is short of that has no route to an endpoint, or no address of its own to call it from. That is so for
	// good, and of this endpoint only: Of leaves it to its caller to try others first.
	Routes Resource = "routes"
)

// MoreFiles is the remedy where a process may open few files.
const MoreFiles = "raise the limit of open files to 57,344 (LimitNOFILE of systemd, ulimit -n)"

// All are all resources.
func All() []Resource { return []Resource{Files, Memory, Ports, Routes} }

// Of is what a dial, or an accept, that failed with err was short of; empty: nothing. The other end is not to blame then.
func Of(err error) Resource {
	for _, short := range []struct {
		errno syscall.Errno
		of    Resource
	}{
		{syscall.EADDRNOTAVAIL, Ports},
		{syscall.EAGAIN, Ports}, // of connect(2)
		{syscall.EMFILE, Files},
		{syscall.ENFILE, Files},
		{syscall.ENOBUFS, Memory},
		{syscall.ENOMEM, Memory},
	} {
		if errors.Is(err, short.errno) {
			return short.of
		}
	}
	return ""
}

// NoRoute is true when a dial failed because this host has no route to the endpoint, or no address of its family. EHOSTUNREACH is no
// such error: there is a route, and a router or the endpoint's own network says that the endpoint is not there.
func NoRoute(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EAFNOSUPPORT)
}

// NoSource tells two causes of EADDRNOTAVAIL apart that connect(2) has for TCP: no local port is free, or the host has no address to call
// the endpoint from. It connects a UDP socket, which sends nothing: the kernel chooses the source address likewise, but the port among
// others. An err whose cause is the address becomes one that NoRoute is true for; every other err is returned as it is.
func NoSource(ctx context.Context, endpoint netip.AddrPort, err error) error {
	if !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return err
	}
	c, cause := new(net.Dialer).DialContext(ctx, "udp", endpoint.String())
	if cause == nil {
		_ = c.Close()
		return err
	}
	if !errors.Is(cause, syscall.EADDRNOTAVAIL) && !NoRoute(cause) {
		return err
	}
	family := "IPv4"
	if endpoint.Addr().Unmap().Is6() {
		family = "IPv6"
	}
	return &net.OpError{
		Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(endpoint),
		Err: fmt.Errorf("%w: this host has no %s address to call it from", syscall.ENETUNREACH, family),
	}
}

// Reason is for this cluster's access log and that of a peer.
func (r Resource) Reason() string {
	switch r {
	case Ports:
		return "the proxy's host has no free local port for the endpoint (net.ipv4.ip_local_port_range)"
	case Files:
		return "the proxy has no free file descriptor (limit of open files)"
	case Memory:
		return "the proxy's host has no memory for another connection"
	case Routes:
		return "the proxy's host has no route to the endpoint, or no address of its family"
	}
	return string(r)
}

// Text is what happens, for the log and for status, and what to do about it.
func (r Resource) Text() (what, remedy string) {
	switch r {
	case Ports:
		return "endpoints not dialed: this host has no free local port for another connection to them",
			"widen net.ipv4.ip_local_port_range, run more proxies or endpoints, or have applications keep their connections: " +
				"one that has ended holds its port for a minute more"
	case Files:
		return "connections refused: this process has as many files open as it may", MoreFiles
	case Memory:
		return "connections refused: this host's kernel has no memory for more", "give the host more memory, or run more proxies"
	case Routes:
		return "endpoints not dialed: this host has no route to them, or no address of their family (IPv4 or IPv6) to call them from",
			"the log has an endpoint: give the proxies' hosts an address and a route for it, or take such endpoints out of the EndpointSlices"
	}
	return string(r), ""
}

// Counter counts shortages by resource. That of all parts of a process is one; a nil reg has none.
func Counter(reg prometheus.Registerer) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "eastway_failover_shortages_total",
		Help: "Connections not made, or not accepted, because this process or host is short of something.",
	}, []string{"resource"})
	if reg != nil {
		if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](reg.Register(c)); ok {
			if counter, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
				c = counter
			}
		}
	}
	for _, r := range All() {
		c.WithLabelValues(string(r))
	}
	return c
}
