package drills

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(keepVariable) != "" { // clusters that stay have goroutines that wait for them
		os.Exit(summarized{m}.Run())
	}
	goleak.VerifyTestMain(summarized{m})
}

// summarized are tests after which the drills that they ran are summarized.
type summarized struct{ *testing.M }

func (s summarized) Run() int {
	begun := time.Now()
	code := s.M.Run()
	dir := filepath.Join("..", "..", "bin", "e2e", name())
	text, err := summary(dir, begun)
	if err != nil {
		text = "no summary: " + err.Error()
	}
	fmt.Fprint(os.Stderr, text)
	for _, line := range complaints.lines {
		fmt.Fprintln(os.Stderr, "FAILED ", line)
	}
	return code
}

// TestDrills runs all drills on one pair of clusters, one after the other: each
// leaves them as healthy as it found them.
func TestDrills(t *testing.T) {
	w := newWorld(t)
	if !t.Run("first call", func(t *testing.T) { firstCall(w, t) }) {
		t.FailNow() // nothing else would make sense
	}
	if err := deployChain(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	on := func(run func(stage, *testing.T)) func(*world, *testing.T) {
		return func(w *world, t *testing.T) { run(w, t) }
	}
	type drill struct {
		name string
		run  func(*world, *testing.T)
	}
	drills := []drill{
		{"service failure", on(serviceFails)},
		{"service answers 503", on(serviceAnswers503)},
		{"bookinfo", on(bookinfo)},
		{"ingress", on(throughIngress)},
		{"one gateway", on(gateway)},
		{"external service", on(externalService)},
		{"at most once", atMostOnce},
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
