package siblings

import (
	"context"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.uber.org/goleak"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	own = "a"
	// patience is how long anything may take on a busy machine under the race detector.
	patience = 60 * time.Second
)

var shop = discovery.ServiceName{Namespace: "default", Name: "shop"}

func identity(t *testing.T, td string) *certs.CASource {
	t.Helper()
	ca, err := certs.NewCA(certs.Options{TrustDomain: spiffeid.RequireTrustDomainFromString(td)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := certs.NewCASource(certs.CASourceConfig{CA: ca, Name: own})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// catalogOf knows peer b.
func catalogOf() *discovery.Catalog {
	c := discovery.NewCatalog(nil)
	c.SetLocal(discovery.Local{Peers: map[string]*discovery.Peer{"b": {Name: "b", Spec: v1alpha1.PeerSpec{SPIFFEID: "spiffe://b"}}}})
	return c
}

// run runs until the test ends.
func run(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// startProxy is a proxy that accepts siblings and passes on what peer b sent.
func startProxy(t *testing.T, id *certs.CASource, ready uint32) string {
	t.Helper()
	catalog := catalogOf()
	must(t, catalog.UpdateRemote(discovery.ReplicaID{Peer: "b", Replica: "b1"}, discovery.Update{
		Epoch: 1, Revision: 1,
		Exports: map[discovery.ServiceName]discovery.Metadata{shop: {Ports: []discovery.ServicePort{{Port: 80, Protocol: "TCP"}}}},
		Readiness: map[discovery.ServiceName]discovery.Endpoints{
			shop: {Rows: []discovery.Readiness{{Port: 80, Ready: ready, Total: ready}}},
		},
	}))
	exchange, err := discovery.NewExchange(discovery.ExchangeConfig{
		Cluster: own, Catalog: catalog,
		PeerStates: func() []discovery.PeerConnectivity {
			return []discovery.PeerConnectivity{{Peer: "b", Error: "no route"}}
		},
	})
	must(t, err)
	auth, err := certs.NewAuthenticator(certs.Config{Source: id})
	must(t, err)
	svid, err := id.GetX509SVID()
	must(t, err)
	must(t, auth.SetPeers([]certs.Peer{{Name: own, ID: svid.ID, Bundle: id.Bundle()}}))
	node, err := tunnel.New(t.Context(), tunnel.Config{
		Cluster: own, Listen: "127.0.0.1:0", Credentials: auth,
		Messages: func(ctx context.Context, l tunnel.Link, c tunnel.MessageConn) error {
			return exchange.ServeSibling(ctx, l.Replica, c)
		},
	})
	must(t, err)
	node.SetPeers([]tunnel.Peer{{Name: own}})
	run(t, node.Run)
	return node.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

// The controller learns from every proxy what peers export, and how they are connected.
func TestSiblings(t *testing.T) {
	t.Parallel()
	id, catalog := identity(t, "a.test"), catalogOf()
	s, err := New(t.Context(), Config{Cluster: own, Identity: id, Catalog: catalog})
	must(t, err)
	run(t, s.Run)
	first, second := startProxy(t, id, 2), startProxy(t, id, 2)
	must(t, s.SetProxies([]string{first, second}))
	eventually(t, "peer b's export is known", func() bool {
		svc := catalog.Snapshot().Services.Get(shop)
		return svc != nil && len(svc.Peers) == 1 && svc.Peers[0].Readiness[0].Ready == 2
	})
	eventually(t, "both report how b is connected", func() bool {
		states, _ := s.PeerStates()
		for _, told := range states {
			if len(told) != 1 || told[0].Error != "no route" {
				return false
			}
		}
		return len(states) == 2
	})
	must(t, s.SetProxies([]string{second}))
	eventually(t, "the other is forgotten", func() bool {
		states, _ := s.PeerStates()
		return len(states) == 1
	})
}

// A process that has the name but another CA is no sibling.
func TestStranger(t *testing.T) {
	t.Parallel()
	s, err := New(t.Context(), Config{Cluster: own, Identity: identity(t, "a.test"), Catalog: catalogOf()})
	must(t, err)
	run(t, s.Run)
	must(t, s.SetProxies([]string{startProxy(t, identity(t, "a.test"), 2)}))
	eventually(t, "it is refused", func() bool {
		for _, p := range s.node.Status() {
			if p.Reason == certs.ReasonUnknownAuthority {
				return true
			}
		}
		return false
	})
	if states, _ := s.PeerStates(); len(states) != 0 {
		t.Errorf("states of a stranger: %v", states)
	}
}
