package sim_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/sim"
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

// TestFound runs the shortest plans of what the simulation has found in the product, so often that chance does not hide it.
func TestFound(t *testing.T) {
	const times = 20
	files, err := filepath.Glob("testdata/found/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d plans, %v", len(files), err)
	}
	pki := sim.NewPKI()
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
			for _, v := range sim.Run(t, p, pki, nil).Violations {
				t.Errorf("%s: %v", file, v)
			}
		}
	}
}

// TestSeeds runs the first seeds. `make sim` runs as many as it is told to.
func TestSeeds(t *testing.T) {
	pki := sim.NewPKI()
	for seed := uint64(1); seed <= seeds; seed++ {
		r := sim.Run(t, sim.NewPlan(seed), pki, nil)
		for _, v := range r.Violations {
			t.Errorf("seed %d: %v", seed, v)
		}
	}
}
