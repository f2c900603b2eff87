package balance

import (
	"net/netip"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
)

// A probe connects to an endpoint as a call does: with its TLS and its header.
func TestProbedAs(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddrPort("192.0.2.1:443")
	secure := &discovery.TLS{Service: echoName, Mode: "SIMPLE"}
	svc := &discovery.Service{
		Name: echoName, ProxyProtocol: true, External: &discovery.External{TLS: secure},
		Ports:     []discovery.ServicePort{{Port: servicePort, HTTP: true}},
		Endpoints: map[uint16][]discovery.Endpoint{servicePort: {{Address: at, Host: "a.test", Ready: true}}},
	}
	s := &discovery.Snapshot{Services: hashtrie.Map[discovery.ServiceName, *discovery.Service]{}.With(echoName, svc)}
	g := newGroup(Key{Service: echoName, Port: servicePort}, policy{}, nil, nil)
	c := probedAs(s, &target{address: Address{Endpoint: at}, group: g})
	if c.TLS != secure || c.Host != "a.test" || !c.HTTP || !c.ProxyProtocol {
		t.Errorf("got %+v", c)
	}
	for name, c := range map[string]Candidate{
		"a peer":      probedAs(s, &target{address: Address{Peer: "west"}, group: g}),
		"no snapshot": probedAs(nil, &target{address: Address{Endpoint: at}, group: g}),
		"no service":  probedAs(&discovery.Snapshot{}, &target{address: Address{Endpoint: at}, group: g}),
	} {
		if c.TLS != nil || c.HTTP || c.ProxyProtocol {
			t.Errorf("%s: got %+v", name, c)
		}
	}
}
