package wire

import (
	"fmt"
	"io"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// WriteHello sends a Hello as the first control record of a connection.
func WriteHello(w io.Writer, h *tunnelpb.Hello) error {
	return Write(w, Control, &tunnelpb.Control{Message: &tunnelpb.Control_Hello{Hello: h}})
}

// ReadHello reads and bounds the peer's Hello.
func ReadHello(r io.Reader) (*tunnelpb.Hello, error) {
	m := new(tunnelpb.Control)
	if err := Read(r, Control, m); err != nil {
		return nil, fmt.Errorf("read Hello: %w", err)
	}
	h := m.GetHello()
	if h == nil {
		return nil, fmt.Errorf("%w: first message is not Hello", ErrRecord)
	}
	return h, CheckHello(h)
}

// Longest strings taken from a Hello, in bytes.
const (
	MaxName    = 253 // DNS
	LinkIDSize = 16
)

// CheckDialer compares a dialer's Hello with the name that its SVID proves; its error wraps ErrRecord.
func CheckDialer(name string, h *tunnelpb.Hello) error {
	if h.GetCluster() != name {
		return fmt.Errorf("%w: Hello.cluster is %q, its SVID proves %q", ErrRecord, h.GetCluster(), name)
	}
	if len(h.GetLink()) != LinkIDSize {
		return fmt.Errorf("%w: Hello.link has %d bytes, not %d", ErrRecord, len(h.GetLink()), LinkIDSize)
	}
	return nil
}

// CheckHello bounds a Hello; its error wraps ErrRecord.
func CheckHello(h *tunnelpb.Hello) error {
	for _, f := range []struct{ name, value string }{
		{"cluster", h.GetCluster()},
		{"replica", h.GetReplica()},
		{"version", h.GetVersion()},
		{"expects", h.GetExpects()},
		{"locality.region", h.GetLocality().GetRegion()},
		{"locality.zone", h.GetLocality().GetZone()},
	} {
		if len(f.value) > MaxName {
			return fmt.Errorf("%w: Hello.%s has %d bytes, at most %d are taken", ErrRecord, f.name, len(f.value), MaxName)
		}
		if clip.Text(f.value, MaxName) != f.value { // it gets into logs and status
			return fmt.Errorf("%w: Hello.%s is not printable", ErrRecord, f.name)
		}
	}
	if h.GetRefused() != "" {
		return nil
	}
	if h.GetCluster() == "" || h.GetReplica() == "" {
		return fmt.Errorf("%w: Hello names no cluster or replica", ErrRecord)
	}
	return nil
}

// MaxVisited bounds the clusters that a connection may have passed.
const MaxVisited = 16

// CheckOpen bounds a stream's header; its error wraps ErrRecord.
func CheckOpen(h *tunnelpb.Open) error {
	for _, f := range []struct{ name, value string }{
		{"namespace", h.GetNamespace()},
		{"service", h.GetService()},
		{"protocol", h.GetProtocol()},
		{"caller", h.GetCaller()},
		{"traceparent", h.GetTraceparent()},
		{"channel", h.GetChannel()},
		{"hostname", h.GetHostname()},
		{"caller_locality.region", h.GetCallerLocality().GetRegion()},
		{"caller_locality.zone", h.GetCallerLocality().GetZone()},
	} {
		if len(f.value) > MaxName {
			return fmt.Errorf("%w: Open.%s has %d bytes, at most %d are taken", ErrRecord, f.name, len(f.value), MaxName)
		}
	}
	if len(h.GetVisited()) > MaxVisited {
		return fmt.Errorf("%w: Open.visited has %d clusters, at most %d are taken", ErrRecord, len(h.GetVisited()), MaxVisited)
	}
	for _, v := range h.GetVisited() {
		if len(v) > MaxName {
			return fmt.Errorf("%w: Open.visited names a cluster with %d bytes", ErrRecord, len(v))
		}
	}
	if h.GetChannel() == "" && (h.GetService() == "" || h.GetPort() == 0 || h.GetPort() > 65535) {
		return fmt.Errorf("%w: Open names no service and port", ErrRecord)
	}
	return nil
}

// GoAway asks the other side to open no more streams.
func GoAway(reason string) *tunnelpb.Control {
	return &tunnelpb.Control{Message: &tunnelpb.Control_GoAway{GoAway: &tunnelpb.GoAway{Reason: reason}}}
}

// GoAwayDone announces that no stream is left on the sender's side. heard: the other side has announced the same before.
func GoAwayDone(heard bool) *tunnelpb.Control {
	return &tunnelpb.Control{Message: &tunnelpb.Control_GoAway{GoAway: &tunnelpb.GoAway{Reason: "done", Done: true, HeardDone: heard}}}
}
