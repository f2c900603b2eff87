package hostile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/tunnel"
)

// announced are services that are exported, without endpoints.
func announced(services, ports int) hashtrie.Map[discovery.ServiceName, *discovery.Service] {
	all := map[discovery.ServiceName]*discovery.Service{}
	for i := range services {
		n := discovery.ServiceName{Namespace: "a-lot", Name: fmt.Sprintf("s-%05d", i)} // before shop
		s := &discovery.Service{Name: n, Export: &discovery.Export{}}
		for port := range ports {
			s.Ports = append(s.Ports, discovery.ServicePort{Port: uint16(1 + port), Protocol: discovery.TCP})
		}
		all[n] = s
	}
	return hashtrie.Of(all)
}

// until waits for a snapshot of the catalog that is as expected.
func (s *site) until(t *testing.T, what string, is func(*discovery.Snapshot) bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		changed := s.catalog.Changed()
		if is(s.catalog.Snapshot()) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no snapshot with %s", what)
		}
	}
}

// imported counts what a snapshot has of a peer.
func imported(s *discovery.Snapshot, peer string) (services, ports int) {
	for _, svc := range s.Services.All() {
		if slices.ContainsFunc(svc.Peers, func(e discovery.PeerExport) bool { return e.Peer == peer }) {
			services++
			ports += len(svc.Ports)
		}
	}
	return services, ports
}

// A peer that exports as much as it can takes its quota of services and ports, and nothing from another peer: that one's service stays
// imported and answers. When its Peer is removed, all is given back.
func TestPeerExportsALot(t *testing.T) { //nolint:paralleltest // it measures the process
	for _, tt := range []struct {
		name                  string
		services, ports, want int
		field                 string
		budget                uint64
	}{
		{"many services", discovery.MaxServices, 1, v1alpha1.DefaultQuotaServices, "services", 256 * MiB},
		{"many ports", 40, discovery.MaxPorts, v1alpha1.DefaultQuotaPorts / discovery.MaxPorts, "ports", 64 * MiB},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := startWorld(t, &config{})
			w.suffer(t, &attack{
				name: tt.name, budget: tt.budget,
				begin: func(_ context.Context, t *testing.T) func() {
					t.Helper()
					e := startSite(t, w.certs, evil, &config{}) //nolint:contextcheck // it lives on its own
					e.set(t, func(l *discovery.Local) {
						l.Services, l.Peers = announced(tt.services, tt.ports), map[string]*discovery.Peer{victim: w.peer(victim)}
					})
					e.node.SetPeers([]tunnel.Peer{{Name: victim, Addresses: []string{w.victim.node.Addr().String()}}})
					w.victim.until(t, tt.name, func(s *discovery.Snapshot) bool {
						x := s.Excess[evil]
						return x != nil && x.Exported.Services == tt.services && x.Exported.Ports == tt.services*tt.ports
					})
					return func() {
						e.stop()
						e.local = discovery.Local{}
						e.catalog.SetLocal(e.local) // it is in this process too
						w.removeEvil(t)
					}
				},
				meanwhile: func(t *testing.T) {
					t.Helper()
					s := w.victim.catalog.Snapshot()
					if services, ports := imported(s, evil); services != tt.want || ports > v1alpha1.DefaultQuotaPorts {
						t.Errorf("%d services with %d ports are imported", services, ports)
					}
					if n, _ := imported(s, good); n != 2 {
						t.Errorf("%d services are imported of the good peer", n)
					}
					if p := strings.Join(s.Problems(), " "); !strings.Contains(p, "raise spec.quota."+tt.field+" of Peer "+evil) {
						t.Errorf("status says %q", p)
					}
					pass(*attackFor / 10)
				},
			})
		})
	}
}
