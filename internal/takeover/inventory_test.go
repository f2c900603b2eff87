package takeover

import (
	"testing"

	"github.com/eastway/eastway/internal/takeover/report"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	self := report.Locality{Node: "n1", Zone: "z1", Region: "r1"}
	tests := []struct {
		name        string
		self, other report.Locality
		want        distance
	}{
		{"node", self, report.Locality{Node: "n1", Zone: "z1", Region: "r1"}, sameNode},
		{"node, labels not read yet", self, report.Locality{Node: "n1"}, sameNode},
		{"zone", self, report.Locality{Node: "n2", Zone: "z1", Region: "r1"}, sameZone},
		{"zone of that name in another region", self, report.Locality{Node: "n2", Zone: "z1", Region: "r2"}, sameCluster},
		{"zone, the other's region is not known", self, report.Locality{Node: "n2", Zone: "z1"}, sameZone},
		{"zone, our region is not known", report.Locality{Node: "n1", Zone: "z1"}, report.Locality{Node: "n2", Zone: "z1", Region: "r1"}, sameZone},
		{"region", self, report.Locality{Node: "n2", Zone: "z2", Region: "r1"}, sameRegion},
		{"region without zones", report.Locality{Region: "r1"}, report.Locality{Region: "r1"}, sameRegion},
		{"elsewhere", self, report.Locality{Node: "n2", Zone: "z2", Region: "r2"}, sameCluster},
		{"nothing is known", report.Locality{}, report.Locality{}, sameCluster},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := distanceOf(&tt.self, &tt.other); got != tt.want {
				t.Errorf("distance = %s, want %s", got, tt.want)
			}
		})
	}
}

// What is too much is left out, and counted.
func TestInventoryBound(t *testing.T) {
	t.Parallel()
	inv := Inventory{Services: make([]Service, maxServices), Proxies: make([]Proxy, maxProxies)}
	if inv.bound(); inv.Omitted != (report.Omitted{}) || len(inv.Services) != maxServices || len(inv.Proxies) != maxProxies {
		t.Errorf("as many as there may be: %+v", inv.Omitted)
	}
	inv.Services, inv.Proxies = append(inv.Services, Service{}, Service{}), append(inv.Proxies, Proxy{})
	if inv.bound(); inv.Omitted != (report.Omitted{Services: 2, Proxies: 1}) || len(inv.Services) != maxServices || len(inv.Proxies) != maxProxies {
		t.Errorf("more: %+v, %d services, %d proxies", inv.Omitted, len(inv.Services), len(inv.Proxies))
	}
}
