package balance

import (
	"testing"

	"github.com/eastway/eastway/discovery"
)

// TestKeep: what a caller may not try takes no place from the rest, however many there are.
func TestKeep(t *testing.T) {
	t.Parallel()
	s := benchService(100, nil)
	all := s.Services.Get(echoName).Endpoints[servicePort]
	for i := range all {
		all[i].Locality = discovery.Locality{Region: here.Region, Zone: "b"}
		if i >= 80 {
			all[i].Locality.Zone = "c"
		}
	}
	inBubble(t, s, func(b *bench) {
		for range 1000 {
			got := b.table.Candidates(b.key, Caller{
				Cluster: "here", Locality: here, Keep: func(c *Candidate) bool { return c.Locality.Zone != "b" },
			})
			if len(got) != MaxPerLevel || got[0].Locality.Zone != "c" {
				t.Fatalf("%d candidates, the first %+v; want %d in zone c", len(got), got, MaxPerLevel)
			}
		}
	})
}
