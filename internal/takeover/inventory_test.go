package takeover

import "testing"

func TestDistance(t *testing.T) {
	t.Parallel()
	self := Locality{Node: "n1", Zone: "z1", Region: "r1"}
	tests := []struct {
		name        string
		self, other Locality
		want        distance
	}{
		{"node", self, Locality{"n1", "z1", "r1"}, sameNode},
		{"node, labels not read yet", self, Locality{Node: "n1"}, sameNode},
		{"zone", self, Locality{"n2", "z1", "r1"}, sameZone},
		{"zone of that name in another region", self, Locality{"n2", "z1", "r2"}, sameCluster},
		{"zone, the other's region is not known", self, Locality{Node: "n2", Zone: "z1"}, sameZone},
		{"zone, our region is not known", Locality{Node: "n1", Zone: "z1"}, Locality{"n2", "z1", "r1"}, sameZone},
		{"region", self, Locality{"n2", "z2", "r1"}, sameRegion},
		{"region without zones", Locality{Region: "r1"}, Locality{Region: "r1"}, sameRegion},
		{"elsewhere", self, Locality{"n2", "z2", "r2"}, sameCluster},
		{"nothing is known", Locality{}, Locality{}, sameCluster},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.self.distanceTo(tt.other); got != tt.want {
				t.Errorf("distance = %s, want %s", got, tt.want)
			}
		})
	}
}

// What is too much is left out, and counted.
func TestInventoryBound(t *testing.T) {
	t.Parallel()
	inv := Inventory{Services: make([]Service, maxServices), Proxies: make([]Proxy, maxProxies)}
	if inv.bound(); inv.Omitted != (Omitted{}) || len(inv.Services) != maxServices || len(inv.Proxies) != maxProxies {
		t.Errorf("as many as there may be: %+v", inv.Omitted)
	}
	inv.Services, inv.Proxies = append(inv.Services, Service{}, Service{}), append(inv.Proxies, Proxy{})
	if inv.bound(); inv.Omitted != (Omitted{Services: 2, Proxies: 1}) || len(inv.Services) != maxServices || len(inv.Proxies) != maxProxies {
		t.Errorf("more: %+v, %d services, %d proxies", inv.Omitted, len(inv.Services), len(inv.Proxies))
	}
}
