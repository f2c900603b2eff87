package balance

import (
	"fmt"
	"testing"
)

// BenchmarkCandidates is what a choice costs a request.
func BenchmarkCandidates(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := NewTable(Config{Cluster: "here", Locality: here, Peers: linked{}, Metrics: new(counts)})
			table.Apply(benchService(n, nil, "a", "b"))
			b.ReportAllocs()
			for b.Loop() {
				table.Candidates(Key{Service: echoName, Port: servicePort}, Caller{Cluster: "here", Locality: here})
			}
		})
	}
}
