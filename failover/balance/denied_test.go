package balance

import (
	"net/netip"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
)

// A peer that a rule denies gets no candidate, on whatever stream its request comes: the rule may be newer.
func TestDeniedPeersHaveNoCandidates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		to   []string
		c    Caller
		want int
	}{
		{nil, Caller{Cluster: "b", Remote: true}, 1},
		{[]string{"b"}, Caller{Cluster: "b", Remote: true}, 1},
		{[]string{"c"}, Caller{Cluster: "b", Remote: true}, 0},
		{[]string{"c"}, Caller{Cluster: "own"}, 1},
	} {
		svc := &discovery.Service{
			Name: echoName, Ports: []discovery.ServicePort{{Port: servicePort, Protocol: discovery.TCP}}, Export: &discovery.Export{To: tt.to},
			Endpoints: map[uint16][]discovery.Endpoint{servicePort: {{Address: netip.MustParseAddrPort("10.0.0.1:80"), Ready: true}}},
		}
		table := NewTable(Config{Cluster: "own"})
		table.Apply(&discovery.Snapshot{
			Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{echoName: svc}), Peers: map[string]*discovery.Peer{"b": {Name: "b"}},
		})
		if got := table.Candidates(Key{Service: echoName, Port: servicePort}, tt.c); len(got) != tt.want {
			t.Errorf("exported to %q, %+v: %d candidates, want %d", tt.to, tt.c, len(got), tt.want)
		}
	}
}
