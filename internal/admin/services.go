package admin

import (
	"cmp"
	"slices"

	"github.com/eastway/eastway/discovery"
)

// Services condenses the catalog for Status, sorted by namespace and name.
func Services(snapshot *discovery.Snapshot) []ServiceStatus {
	services := make([]ServiceStatus, 0, snapshot.Services.Len())
	for _, s := range snapshot.Services.All() {
		local := make(portCounts)
		for port, endpoints := range s.Endpoints {
			for _, e := range endpoints {
				ready := 0
				if e.Ready && e.Unhealthy == "" {
					ready = 1
				}
				local.add(port, ready, 1)
			}
		}
		fewest := local.fewestReady()
		services = append(services, ServiceStatus{
			Namespace:  s.Name.Namespace,
			Name:       s.Name.Name,
			Ports:      s.Ports,
			Addresses:  s.Addresses,
			Exported:   s.Export != nil,
			LocalReady: fewest.ready,
			LocalTotal: fewest.total,
			LocalMost:  local.mostReady(),
			Peers:      peerReadiness(s.Peers),
		})
	}
	slices.SortFunc(services, func(a, b ServiceStatus) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return services
}

func peerReadiness(exports []discovery.PeerExport) []PeerReadiness {
	peers := make([]PeerReadiness, 0, len(exports))
	for i := range exports {
		export := &exports[i]
		counts := make(portCounts)
		for _, r := range export.Readiness {
			counts.add(r.Port, int(r.Ready), int(r.Total))
		}
		fewest := counts.fewestReady()
		peers = append(peers, PeerReadiness{Peer: export.Peer, Ready: fewest.ready, Total: fewest.total, Most: counts.mostReady()})
	}
	return peers
}

type count struct{ ready, total int }

// portCounts are the endpoints of each service port.
type portCounts map[uint16]count

func (p portCounts) add(port uint16, ready, total int) {
	c := p[port]
	p[port] = count{ready: c.ready + ready, total: c.total + total}
}

// mostReady tells a service that can serve at some port from one that cannot at all.
func (p portCounts) mostReady() (most int) {
	for _, c := range p {
		most = max(most, c.ready)
	}
	return most
}

// fewestReady is what a summary of one number must show: a service of which one
// port is dead does not look healthy.
func (p portCounts) fewestReady() count {
	first, fewest := true, count{}
	for _, c := range p {
		if first || c.ready < fewest.ready || (c.ready == fewest.ready && c.total > fewest.total) {
			first, fewest = false, c
		}
	}
	return fewest
}
