package drills

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(keepVariable) != "" { // clusters that stay have goroutines that wait for them
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// TestDrills runs all drills on one pair of clusters, one after the other: each
// leaves them as healthy as it found them.
func TestDrills(t *testing.T) {
	w := newWorld(t)
	if !t.Run("first call", func(t *testing.T) { firstCall(w, t) }) {
		t.FailNow() // nothing else would make sense
	}
	for _, c := range w.clusters {
		if err := w.deploy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	type drill struct {
		name string
		run  func(*world, *testing.T)
	}
	drills := []drill{
		{"service failure", serviceFails},
		{"service answers 503", serviceAnswers503},
		{"bookinfo", bookinfo},
		{"ingress", throughIngress},
		{"one gateway", gateway},
		{"proxy killed", proxyKilled},
		{"leader killed", leaderKilled},
		{"API server away", withoutAPIServer},
		{"address changed", addressChanged},
		{"zone lost", zoneLost},
		{"replaced", replaced},
		{"one-sided", oneSided},
	}
	for _, drill := range drills {
		t.Run(drill.name, func(t *testing.T) { drill.run(w, t) })
	}
	t.Run("removal", func(t *testing.T) { removed(w, t) })
}
