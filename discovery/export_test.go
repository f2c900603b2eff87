package discovery

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func TestExportOf(t *testing.T) {
	t.Parallel()
	s := newService(echo, 0)
	at := func(port uint16, zone string, ready bool) {
		n := len(s.Endpoints[port])
		s.Endpoints[port] = append(s.Endpoints[port], Endpoint{
			Address:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), port),
			Locality: Locality{Region: "r", Zone: zone}, Ready: ready,
		})
	}
	at(80, "z2", true)
	at(80, "z1", true)
	at(80, "z1", false)
	at(80, "z1", false)
	s.Endpoints[80][3].Terminating = true
	want := []Readiness{
		{Locality: Locality{"r", "z1"}, Port: 80, Ready: 1, Terminating: 1, Total: 3},
		{Locality: Locality{"r", "z2"}, Port: 80, Ready: 1, Total: 1},
	}
	if got := exportOf(s).endpoints.Rows; !slices.Equal(got, want) {
		t.Errorf("readiness = %+v, want %+v", got, want)
	}
	s.Export = nil
	if exportOf(s) != nil || exportOf(nil) != nil {
		t.Error("exported without being so")
	}
}

// More zones than fit are sent as their region.
func TestReadinessIsSentCoarserWhenThereIsTooMuch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		regions, zones, rows int
	}{{1, maxReadiness, maxReadiness}, {2, maxReadiness, 2}, {maxReadiness + 1, 1, 1}} {
		s := newService(echo, 0)
		for r := range tt.regions {
			for z := range tt.zones {
				s.Endpoints[80] = append(s.Endpoints[80], Endpoint{Locality: Locality{fmt.Sprint(r), fmt.Sprint(z)}, Ready: true})
			}
		}
		e := exportOf(s)
		total := uint32(0)
		for _, r := range e.endpoints.Rows {
			total += r.Ready
		}
		if len(e.endpoints.Rows) != tt.rows || int(total) != tt.regions*tt.zones {
			t.Errorf("%d regions of %d zones: %d rows, %d endpoints", tt.regions, tt.zones, len(e.endpoints.Rows), total)
		}
	}
}

func TestDelta(t *testing.T) {
	t.Parallel()
	c, peers := NewCatalog(nil), []string{"b"}
	var has sent
	if _, ok, _ := c.deltaFor("b", &has); ok {
		t.Fatal("sent something before a source had flushed")
	}
	c.SetLocal(localWith(peers, echo))
	if d, ok, _ := c.deltaFor("stranger", new(sent)); ok {
		t.Errorf("a cluster without a Peer is sent %+v", d)
	}
	first, ok, more := c.deltaFor("b", &has)
	if !ok || first.base != 0 || len(first.changes) != 1 {
		t.Fatalf("snapshot = %+v", first)
	}
	l := localWith(peers, echo)
	l.Services.Get(echo).Export = nil
	c.SetLocal(l)
	select {
	case <-more:
	default:
		t.Error("not woken")
	}
	d, ok, more := c.deltaFor("b", &has)
	if !ok || d.base != first.revision || len(d.changes) != 1 || d.changes[0].export != nil {
		t.Fatalf("delta = %+v", d)
	}
	l = localWith(peers, echo)
	l.Services = l.Services.With(echo, newService(echo, 4))
	l.Services.Get(echo).Export = nil
	c.SetLocal(l)
	select {
	case <-more:
		t.Error("woken by a service that is not exported")
	default:
	}
	// Renaming a port is sent with the readiness, so that both always fit.
	c.SetLocal(localWith(peers, echo))
	c.deltaFor("b", &has)
	l = localWith(peers, echo)
	l.Services.Get(echo).Ports = []ServicePort{{Name: "other", Port: 80, Protocol: TCP}}
	c.SetLocal(l)
	if d, _, _ := c.deltaFor("b", &has); len(d.changes) != 1 || d.changes[0].parts != partMetadata|partReadiness {
		t.Errorf("delta = %+v", d)
	}
}

// A link is sent exactly what differs from what it has, however far it is behind.
func TestDeltaWhenFarBehind(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	names := make([]ServiceName, 5000)
	for i := range names {
		names[i] = ServiceName{"demo", fmt.Sprintf("s%d", i)}
	}
	c.SetLocal(localWith([]string{"b"}, names...))
	var has sent
	c.deltaFor("b", &has)
	if d, ok, _ := c.deltaFor("b", &has); ok {
		t.Errorf("changes after the first revision: %d", len(d.changes))
	}
	c.SetLocal(localWith([]string{"b"}, names[:10]...))
	c.SetLocal(localWith([]string{"b"}, names[:100]...))
	if d, _, _ := c.deltaFor("b", &has); d.base != 1 || len(d.changes) != len(names)-100 {
		t.Errorf("delta from %d of %d changes", d.base, len(d.changes))
	}
}
