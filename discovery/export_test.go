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
	c := NewCatalog(nil)
	if _, ok, _ := c.deltaSince(0); ok {
		t.Fatal("sent something before a source had flushed")
	}
	c.SetLocal(localWith(nil, echo))
	first, ok, more := c.deltaSince(0)
	if !ok || first.base != 0 || len(first.changes) != 1 {
		t.Fatalf("snapshot = %+v", first)
	}
	l := localWith(nil, echo)
	l.Services.Get(echo).Export = nil
	c.SetLocal(l)
	select {
	case <-more:
	default:
		t.Error("not woken")
	}
	d, ok, more := c.deltaSince(first.revision)
	if !ok || d.base != first.revision || len(d.changes) != 1 || d.changes[0].export != nil {
		t.Fatalf("delta = %+v", d)
	}
	l = localWith(nil, echo)
	l.Services = l.Services.With(echo, newService(echo, 4))
	l.Services.Get(echo).Export = nil
	c.SetLocal(l)
	select {
	case <-more:
		t.Error("woken by a service that is not exported")
	default:
	}
	// Renaming a port is sent with the readiness, so that both always fit.
	l = localWith(nil, echo)
	c.SetLocal(l)
	before := c.exports.revision
	l = localWith(nil, echo)
	l.Services.Get(echo).Ports = []ServicePort{{Name: "other", Port: 80, Protocol: TCP}}
	c.SetLocal(l)
	if d, _, _ := c.deltaSince(before); len(d.changes) != 1 || d.changes[0].parts != partMetadata|partReadiness {
		t.Errorf("delta = %+v", d)
	}
}

// A link that is further behind than the log reaches back gets a snapshot, every other one exactly what changed.
func TestDeltaWhenFarBehind(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	names := make([]ServiceName, maxExportLog)
	for i := range names {
		names[i] = ServiceName{"demo", fmt.Sprintf("s%d", i)}
	}
	c.SetLocal(localWith(nil, names...))
	if d, ok, _ := c.deltaSince(1); ok {
		t.Errorf("changes after the first revision: %d", len(d.changes))
	}
	other := localWith(nil, names[:10]...)
	c.SetLocal(other)
	if d, _, _ := c.deltaSince(1); d.base != 1 || len(d.changes) != len(names)-10 {
		t.Errorf("delta from %d of %d changes", d.base, len(d.changes))
	}
	c.SetLocal(localWith(nil, names[:100]...))
	if d, _, _ := c.deltaSince(2); d.base != 2 || len(d.changes) != 90 {
		t.Errorf("delta from %d of %d changes", d.base, len(d.changes))
	}
	if d, _, _ := c.deltaSince(1); d.base != 0 || len(d.changes) != 100 {
		t.Errorf("from revision 1: base %d of %d changes, want a snapshot", d.base, len(d.changes))
	}
}
