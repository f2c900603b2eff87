package shortage

import (
	"errors"
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
)

// MoreFiles is the remedy where a process may open few files.
const MoreFiles = "raise the limit of open files to 57,344 (LimitNOFILE of systemd, ulimit -n)"

// All are all resources.
func All() []Resource { return []Resource{Files, Memory, Ports} }

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

// Reason is for this cluster's access log and that of a peer.
func (r Resource) Reason() string {
	switch r {
	case Ports:
		return "the proxy's host has no free local port for the endpoint (net.ipv4.ip_local_port_range)"
	case Files:
		return "the proxy has no free file descriptor (limit of open files)"
	case Memory:
		return "the proxy's host has no memory for another connection"
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
