package sim_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/sim"
	"github.com/eastway/eastway/internal/sim/pki"
)

// work has TestWorker answer requests on standard input; see internal/sim/hunt.
var work = flag.Bool("sim.work", false, "answer requests for runs")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// TestWorker is a worker of internal/sim/hunt, and tests that there is one.
func TestWorker(t *testing.T) {
	if *work {
		if err := sim.Work(t, os.Stdin, os.Stdout); err != nil {
			t.Fatal(err)
		}
		return
	}
	var out strings.Builder
	if err := sim.Work(t, strings.NewReader(`{"Seed":1,"Trace":true}`), &out); err != nil {
		t.Fatal(err)
	}
	var r sim.Reply
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil || r.Seed != 1 || r.Calls == 0 || r.Trace == "" {
		t.Errorf("%v, %+v", err, r.Report)
	}
}

// TestFound runs the shortest plans of what the simulation has found in the product.
func TestFound(t *testing.T) {
	files, err := filepath.Glob("testdata/found/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d plans, %v", len(files), err)
	}
	keys := pki.New()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := new(sim.Plan)
		if err := json.Unmarshal(text, p); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for range times {
			for _, v := range sim.Run(t, p, keys, nil).Violations {
				t.Errorf("%s: %v", file, v)
			}
		}
	}
}

// TestSeeds runs the first seeds. `make sim` runs as many as it is told to.
func TestSeeds(t *testing.T) {
	keys := pki.New()
	for seed := uint64(1); seed <= seeds; seed++ {
		r := sim.Run(t, sim.NewPlan(seed), keys, nil)
		for _, v := range r.Violations {
			t.Errorf("seed %d: %v", seed, v)
		}
	}
}

// TestMemory: worlds that have ended leave nothing in the process. What belongs to their processes is looked for after each
// world; this finds what else grows, such as a table of a package.
func TestMemory(t *testing.T) {
	const (
		warm, runs = 2, 8
		most       = 16 << 10 // bytes that a run may leave
	)
	keys := pki.New()
	for _, inMemory := range []bool{false, true} {
		p := sim.NewPlan(1)
		for p.Memory != inMemory {
			p = sim.NewPlan(p.Seed + 1)
		}
		heap := func(times int) uint64 {
			for range times {
				sim.Run(t, p, keys, nil)
			}
			for range 2 { // the first empties pools
				runtime.GC()
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap(warm)
		after := heap(runs)
		if after > before+runs*most {
			t.Errorf("seed %d: after %d runs more the heap has %d bytes instead of %d", p.Seed, runs, after, before)
		}
	}
}
