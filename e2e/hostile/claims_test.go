package hostile

import (
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/tunnel"
)

// A peer exports a service of the victim's, from 1970 and as something else: the port is HTTP, there is another one, and sessions stay
// together. While the victim's only endpoint is dead, it gets calls if the owner has consented, and none otherwise. It never decides what the
// service is.
func TestPeerClaimsAnothersService(t *testing.T) { //nolint:paralleltest // others measure the process
	w := startWorld(t, &config{})
	ours := discovery.ServiceName{Namespace: "shop", Name: "pay"}
	listener, dead := free(t), free(t)
	var reached atomic.Int64
	app := startApp(t, func(c net.Conn) {
		reached.Add(1)
		_, _ = io.Copy(c, c)
	})
	claim := service(ours, listener, app)
	claim.Listeners, claim.Export, claim.Spec.SessionAffinity = nil, &discovery.Export{Created: time.Unix(1, 0)}, "ClientIP"
	claim.Ports = []discovery.ServicePort{
		{Name: "http", Port: 80, Protocol: discovery.TCP, HTTP: true}, {Name: "more", Port: 81, Protocol: discovery.TCP},
	}
	e := startSite(t, w.certs, evil, &config{})
	e.set(t, func(l *discovery.Local) {
		l.Services = hashtrie.Of(map[discovery.ServiceName]*discovery.Service{ours: claim})
		l.Peers = map[string]*discovery.Peer{victim: w.peer(victim)}
	})
	e.node.SetPeers([]tunnel.Peer{{Name: victim, Addresses: []string{w.victim.node.Addr().String()}}})
	shared := service(ours, listener, dead)
	shared.Ports[0].Name = "db"
	private := *shared
	private.Export, private.Private = nil, true
	for _, step := range []struct {
		name   string
		is     *discovery.Service
		allow  []string // of what evil exports
		served bool
	}{
		{"not shared", &private, nil, false},
		{"everything is allowed, which names no service", &private, []string{"*/*"}, false},
		{"shared", shared, nil, true},
		{"no longer", &private, nil, false},
		{"named in the Peer", &private, []string{"shop/pay"}, true},
	} {
		w.victim.set(t, func(l *discovery.Local) {
			by := w.peer(evil)
			if step.allow != nil {
				by.Spec.Imports = &v1alpha1.ImportRules{Allow: step.allow}
			}
			l.Services = l.Services.With(ours, step.is)
			l.Peers = map[string]*discovery.Peer{good: w.peer(good), guest: w.peer(guest), evil: by}
		})
		w.victim.until(t, step.name, func(s *discovery.Snapshot) bool {
			svc := s.Services.Get(ours)
			return len(svc.Peers)+len(svc.Unused) == 1
		})
		s := w.victim.catalog.Snapshot()
		await(t, "the proxy has taken it in", func() bool { return w.victim.proxy.Revision() >= s.Revision })
		svc := s.Services.Get(ours)
		if svc.Ports[0] != shared.Ports[0] {
			t.Errorf("%s: the port is %+v", step.name, svc.Ports[0])
		}
		if svc.Export != nil && svc.Decisive(victim).SessionAffinity != "" {
			t.Errorf("%s: the peer decides over the spec", step.name)
		}
		if more := slices.ContainsFunc(svc.Ports, func(p discovery.ServicePort) bool { return p.Port == 81 }); more != step.served {
			t.Errorf("%s: the ports are %+v", step.name, svc.Ports)
		}
		if said := strings.Contains(strings.Join(s.Problems(), " "), "without consent"); said == step.served {
			t.Errorf("%s: status says %q", step.name, s.Problems())
		}
		if step.served {
			await(t, "the tunnel to the peer is up", func() bool { return w.victim.node.State(evil).Usable })
		}
		reached.Store(0)
		failed := 0
		for range calls {
			if _, err := ask(t, listener); err != nil {
				failed++
			}
		}
		if got := reached.Load(); step.served != (got > 0) || step.served != (failed == 0) {
			t.Errorf("%s: the peer got %d of %d calls, %d failed", step.name, got, calls, failed)
		}
	}
}
