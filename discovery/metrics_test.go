package discovery

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// A scrape that is slow holds up neither updates nor the deltas of links.
func TestScrapeHoldsNothingUp(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	l := localWith([]string{"b"}, cart)
	l.Peers["b"].Spec.Quota, l.Peers["b"].Spec.Localities = &v1alpha1.ImportQuota{Services: 1}, []string{"r1"}
	c.SetLocal(l)
	if err := c.UpdateRemote(ReplicaID{"b", "r"}, updateOf(1, 0, 7, 1, pay, cart, ServiceName{"kube-system", "kube-dns"})); err != nil {
		t.Fatal(err)
	}
	metrics := make(chan prometheus.Metric)
	go func() {
		defer close(metrics)
		newCatalogCollector(c).Collect(metrics)
	}()
	locked := 0
	for range metrics { // the next one waits to be taken
		if c.mu.TryLock() {
			c.mu.Unlock()
		} else {
			locked++
		}
	}
	if locked > 0 {
		t.Errorf("the catalog is locked at %d metrics", locked)
	}
	if err := testutil.CollectAndCompare(newCatalogCollector(c), strings.NewReader(`
# HELP eastway_discovery_peer_services Services that the peer exports.
# TYPE eastway_discovery_peer_services gauge
eastway_discovery_peer_services{peer="b"} 3
# HELP eastway_discovery_peer_services_not_used Services that the peer exports and that its Peer, or the owner here, does not let be used.
# TYPE eastway_discovery_peer_services_not_used gauge
eastway_discovery_peer_services_not_used{peer="b"} 1
# HELP eastway_discovery_peer_services_over_quota Services that the peer exports beyond its quota; they are not imported.
# TYPE eastway_discovery_peer_services_over_quota gauge
eastway_discovery_peer_services_over_quota{peer="b"} 1
# HELP eastway_discovery_peer_services_outside_localities Services of which the peer claims endpoints outside of spec.localities; these count as far.
# TYPE eastway_discovery_peer_services_outside_localities gauge
eastway_discovery_peer_services_outside_localities{peer="b"} 1
# HELP eastway_discovery_peer_replicas Linked replicas of the peer; 0: the last known exports are kept.
# TYPE eastway_discovery_peer_replicas gauge
eastway_discovery_peer_replicas{peer="b"} 1
`), "eastway_discovery_peer_services", "eastway_discovery_peer_services_not_used", "eastway_discovery_peer_services_over_quota",
		"eastway_discovery_peer_services_outside_localities", "eastway_discovery_peer_replicas"); err != nil {
		t.Error(err)
	}
}
