package failover

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
)

// other is a second service at addr.
func other(w *world, addr netip.Addr) *discovery.Snapshot {
	s := w.snapshot()
	name := discovery.ServiceName{Namespace: "shop", Name: "other"}
	ports := []discovery.ServicePort{{Port: servicePort, Protocol: "TCP"}, {Port: servicePort, Protocol: "UDP"}}
	s.Services = s.Services.With(name, &discovery.Service{
		Name: name, Addresses: []netip.Addr{addr}, Ports: ports, Listeners: discovery.ListenersAt(ports, addr),
		Endpoints: map[uint16][]discovery.Endpoint{servicePort: {endpoint(backend(w.t, answers("other")), here)}},
	})
	return s
}

func (w *world) listening(n int) []status.Listener {
	w.t.Helper()
	w.eventually("listening", func() bool { return len(w.listeners()) == n })
	return w.listeners()
}

// listeners are those of now. What has the same revision has to be the same.
func (w *world) listeners() []status.Listener {
	w.t.Helper()
	revision := w.proxy.ListenersRevision()
	all := w.proxy.Listening()
	if w.proxy.ListenersRevision() != revision { // they changed meanwhile
		return all
	}
	if revision == w.listed.revision && !slices.Equal(all, w.listed.all) {
		w.t.Errorf("listeners at revision %d: %v, and before %v", revision, all, w.listed.all)
	}
	w.listed.revision, w.listed.all = revision, all
	return all
}

// failing waits for the metric to say that so many are not listened for.
func (w *world) failing(n float64) {
	w.t.Helper()
	w.eventually("counted", func() bool { return testutil.ToFloat64(w.proxy.metrics.listeners) == n })
}

func TestListenersFollowTheCatalog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here))
	addr := freshAddress()
	w.catalog.set(other(w, addr))
	w.listening(2)
	c, err := net.Dial("tcp4", netip.AddrPortFrom(addr, servicePort).String())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t, c.(*net.TCPConn), "hi"); err != nil || got != "other got hi" {
		t.Errorf("got %q, %v", got, err)
	}
	open := w.dial()
	if _, err := io.WriteString(open, "still "); err != nil {
		t.Fatal(err)
	}
	w.eventually("accepted", func() bool { return w.proxy.Endpoints(echoName)[0].Active == 1 })
	w.catalog.set(&discovery.Snapshot{})
	w.listening(0)
	// A connection of a service that went away goes on.
	if got, err := ask(t, open, "there"); err != nil || got != "LIVE got still there" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := w.connect(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the listener of a service that went away: %v", err)
	}
}

func TestBusyPort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here))
	addr := freshAddress()
	busy, err := net.Listen("tcp4", netip.AddrPortFrom(addr, servicePort).String())
	if err != nil {
		t.Fatal(err)
	}
	w.catalog.set(other(w, addr))
	w.listening(2)
	w.eventually("reported", func() bool {
		for _, l := range w.listeners() {
			if l.Address.Addr() == addr {
				return strings.Contains(l.Error, addr.String()) && strings.Contains(l.Error, "shop/other") && strings.Contains(l.Error, "stop it")
			}
		}
		return false
	})
	if got, err := w.ask("hi"); err != nil || got != "LIVE got hi" {
		t.Errorf("the other listener: %q, %v", got, err)
	}
	w.failing(1)
	_ = busy.Close()
	w.eventually("recovered", func() bool {
		c, err := net.Dial("tcp4", netip.AddrPortFrom(addr, servicePort).String())
		if err != nil {
			return false
		}
		defer c.Close()
		got, err := ask(t, c.(*net.TCPConn), "hi")
		return err == nil && got == "other got hi"
	})
	w.failing(0)
	for _, l := range w.listening(2) {
		if l.Error != "" {
			t.Errorf("%+v", l)
		}
	}
	if n := w.log.FilterMessage("cannot listen").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

func TestTwoServicesOnOneAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here))
	w.catalog.set(other(w, w.service.Addresses[0]))
	for _, l := range w.listening(2) {
		if (l.Service == "shop/echo") != (l.Error == "") {
			t.Errorf("%+v", l)
		}
	}
	if got, err := w.ask("hi"); err != nil || got != "LIVE got hi" {
		t.Errorf("got %q, %v", got, err)
	}
	w.failing(1)
	// The one that had to stand back takes over when the first goes.
	s := other(w, w.service.Addresses[0])
	s.Services = s.Services.Without(echoName)
	w.catalog.set(s)
	w.eventually("taken over", func() bool {
		got, err := w.ask("hi")
		return err == nil && got == "other got hi"
	})
	w.failing(0)
	if n := w.log.FilterMessage("two services on one address").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
