package capacity_test

import (
	"fmt"
	"time"

	"github.com/eastway/eastway/failover/capacity"
)

// A region that scales from one endpoint to thirty, each with room for ten calls, shared by two proxies.
func ExampleGauge() {
	var g capacity.Gauge
	start := time.Unix(0, 0)
	g.Set(1*10, true, start)
	g.Set(30*10, true, start)
	for _, after := range []time.Duration{0, 5 * time.Second, 10 * time.Second} {
		level := g.At(start.Add(after), 80)
		fmt.Printf("after %v: room for %.0f of each proxy, full: %v\n", after, capacity.Share(level.Grown, 2), level.IsFull(2))
	}
	// Output:
	// after 0s: room for 15 of each proxy, full: true
	// after 5s: room for 82 of each proxy, full: false
	// after 10s: room for 150 of each proxy, full: false
}
