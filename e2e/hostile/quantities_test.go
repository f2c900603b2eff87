package hostile

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/tunnel"
)

// site is a cluster with one proxy.
type site struct {
	node    *tunnel.Node
	catalog *discovery.Catalog
	proxy   *failover.Proxy
}

func startSite(t *testing.T, worlds map[string]*certstest.Cluster, name string) *site {
	t.Helper()
	s := &site{catalog: discovery.NewCatalog(nil)}
	exchange, err := discovery.NewExchange(discovery.ExchangeConfig{Cluster: name, Catalog: s.catalog})
	if err != nil {
		t.Fatal(err)
	}
	s.node = new(victim).start(t, tunnel.Config{
		Cluster: name, Credentials: worlds[name].Auth, Listen: "127.0.0.1:0", DisableQUIC: true,
		Handle: func(in *tunnel.Incoming) { s.proxy.ServeStream(failover.IncomingOf(in)) },
		Messages: func(ctx context.Context, l tunnel.Link, c tunnel.MessageConn) error {
			return exchange.Serve(ctx, l.Peer, l.Replica, c)
		},
	})
	s.proxy, err = failover.New(failover.Config{
		Cluster: name, Catalog: s.catalog, Tunnels: failover.TunnelsOf(s.node), Guard: &discovery.Guard{AllowLoopback: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.proxy.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// trust makes the sites peers of the first one, which they dial.
func trust(worlds map[string]*certstest.Cluster, local map[string]*discovery.Local, sites map[string]*site) {
	peer := func(name string) *discovery.Peer {
		w := worlds[name]
		return &discovery.Peer{Name: name, Spec: v1alpha1.PeerSpec{SPIFFEID: w.Peer.ID.String(), TrustBundle: w.TrustBundle}}
	}
	for name, s := range sites {
		local[name].Peers = map[string]*discovery.Peer{}
		var dial []tunnel.Peer
		for other := range sites {
			switch {
			case other == name:
			case name == "b":
				local[name].Peers[other] = peer(other)
				dial = append(dial, tunnel.Peer{Name: other})
			case other == "b":
				local[name].Peers[other] = peer(other)
				dial = append(dial, tunnel.Peer{Name: other, Addresses: []string{sites["b"].node.Addr().String()}})
			}
		}
		s.catalog.SetLocal(*local[name])
		s.node.SetPeers(dial)
	}
}

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
// imported and answers.
func TestPeerExportsALot(t *testing.T) {
	t.Parallel()
	worlds := certstest.New(t, "b", "evil", "good")
	sites := map[string]*site{}
	for name := range worlds {
		sites[name] = startSite(t, worlds, name)
	}
	cart := discovery.ServiceName{Namespace: "shop", Name: "cart"}
	listener, app := free(t), bind(t)
	go func() {
		for {
			c, err := app.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { _ = app.Close() })
	service := func(change func(*discovery.Service)) hashtrie.Map[discovery.ServiceName, *discovery.Service] {
		s := &discovery.Service{Name: cart, Ports: []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}, Export: &discovery.Export{}}
		change(s)
		return hashtrie.Of(map[discovery.ServiceName]*discovery.Service{cart: s})
	}
	local := map[string]*discovery.Local{
		"b": {Services: service(func(s *discovery.Service) {
			s.Listeners = []discovery.Listener{{Address: listener, Port: 80}}
		})},
		"good": {Services: service(func(s *discovery.Service) {
			s.Endpoints = map[uint16][]discovery.Endpoint{80: {{Address: netip.MustParseAddrPort(app.Addr().String()), Ready: true}}}
		})},
		"evil": {},
	}
	trust(worlds, local, sites)
	b := sites["b"]
	for _, attack := range []struct {
		services, ports, want int
		field                 string
	}{
		{discovery.MaxServices, 1, v1alpha1.DefaultQuotaServices, "services"},
		{40, discovery.MaxPorts, v1alpha1.DefaultQuotaPorts / discovery.MaxPorts, "ports"},
	} {
		local["evil"].Services = announced(attack.services, attack.ports)
		sites["evil"].catalog.SetLocal(*local["evil"])
		b.until(t, fmt.Sprint(attack), func(s *discovery.Snapshot) bool {
			x := s.Excess["evil"]
			good, _ := imported(s, "good")
			return good == 1 && x != nil && x.Exported.Services == attack.services && x.Exported.Ports == attack.services*attack.ports
		})
		s := b.catalog.Snapshot()
		if services, ports := imported(s, "evil"); services != attack.want || ports > v1alpha1.DefaultQuotaPorts {
			t.Errorf("%d services with %d ports are imported of %+v", services, ports, attack)
		}
		if p := strings.Join(s.Problems(), " "); !strings.Contains(p, "raise spec.quota."+attack.field+" of Peer evil") {
			t.Errorf("status says %q", p)
		}
		for b.proxy.Revision() < s.Revision {
			runtime.Gosched()
		}
		for range calls {
			if err := call(t, listener); err != nil {
				t.Errorf("the other peer's service is called: %v", err)
			}
		}
	}
}
