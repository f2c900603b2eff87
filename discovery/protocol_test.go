package discovery

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/bubble"
)

// withHTTP is a cluster that exports echo, on a port that is HTTP or not.
func withHTTP(peers []string, http bool) Local {
	l := localWith(peers, echo)
	l.Services.Get(echo).Ports[0].HTTP = http
	return l
}

// A port that becomes HTTP, or no longer is, reaches the peers and their controllers at once.
func TestHTTPReachesPeers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newSide(t, "b", 1, []string{"a"})
		f := newFamily(t, "b", "c") // of a cluster that has a as its peer b
		near, far := newPipe()
		doneA, doneB := serve(ctx, a, "a", "a1", near), serve(ctx, f.proxy, "b", "b1", far)
		for _, http := range []bool{false, true, false, true} {
			a.catalog.SetLocal(withHTTP([]string{"a"}, http))
			bubble.Pass(3 * coalesce)
			for where, c := range map[string]*Catalog{"the proxy": f.proxy.catalog, "the controller": f.controller} {
				s := c.Snapshot().Services.Get(echo)
				if s == nil || len(s.Peers) != 1 || s.Peers[0].Ports[0].HTTP != http || s.Ports[0].HTTP != http {
					t.Errorf("%s has %+v, want HTTP %v", where, s, http)
				}
			}
		}
		f.cut()
		cancel()
		must(t, <-doneA)
		must(t, <-doneB)
	})
}

// A release that does not know the field reads everything else, and one that does reads its absence as TCP.
func TestHTTPOfNeighbors(t *testing.T) {
	t.Parallel()
	const field = 5
	with, err := proto.Marshal(&catalogpb.Port{Name: "web", Port: 80, Protocol: TCP, Http: true})
	must(t, err)
	without, err := proto.Marshal(&catalogpb.Port{Name: "web", Port: 80, Protocol: TCP})
	must(t, err)
	want := append(protowire.AppendTag(without, field, protowire.VarintType), 1)
	if !bytes.Equal(with, want) {
		t.Errorf("the field is not number %d: %x", field, with)
	}
	p := new(catalogpb.Port)
	must(t, proto.Unmarshal(without, p))
	if sp, err := decodePort("port", p); err != nil || sp.HTTP {
		t.Errorf("without the field: %+v, %v", sp, err)
	}
}

// Of ports that only peers export the oldest export counts, whatever the names of the peers are.
func TestHTTPOfImports(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		own  []ServicePort
		old  bool
		want bool
	}{
		{"the older is HTTP", nil, true, true},
		{"the younger is HTTP", nil, false, false},
		{"the own port is not", []ServicePort{tcp("http", 80)}, true, false},
		{"the own port is", []ServicePort{{Name: "http", Port: 80, Protocol: TCP, HTTP: true}}, false, true},
		{"the own Service has another port", []ServicePort{tcp("more", 81)}, true, true},
		{"the own port is UDP", []ServicePort{{Name: "http", Port: 80, Protocol: UDP}}, true, true},
	} {
		c := NewCatalog(nil)
		l := localWith([]string{"a", "z"})
		if test.own != nil {
			l.Services = l.Services.With(echo, &Service{Name: echo, Ports: test.own})
		}
		c.SetLocal(l)
		for peer, e := range map[string]struct {
			age  int64
			http bool
		}{"z": {1, test.old}, "a": {2, !test.old}} {
			must(t, c.UpdateRemote(ReplicaID{peer, "1"}, Update{Epoch: 1, Revision: 1, Exports: map[ServiceName]Metadata{echo: {
				Ports: []ServicePort{{Name: "http", Port: 80, Protocol: TCP, HTTP: e.http}}, Export: Export{Created: created(e.age)},
			}}}))
		}
		s := c.Snapshot().Services.Get(echo)
		got, ports := false, 0
		for _, p := range s.Ports {
			if p.Port == 80 && p.Protocol == TCP {
				got, ports = p.HTTP, ports+1
			}
		}
		if got != test.want || ports != 1 {
			t.Errorf("%s: ports %+v", test.name, s.Ports)
		}
		if s.Peers[0].Peer != "a" || s.Peers[0].Ports[0].HTTP == test.old || s.Peers[1].Ports[0].HTTP != test.old {
			t.Errorf("%s: peers %+v", test.name, s.Peers)
		}
	}
}
