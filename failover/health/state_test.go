package health

import (
	"strings"
	"testing"
)

// Results in a row that reach a threshold change the state, others do not.
func TestState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name               string
		unhealthy, healthy uint32
		// results are p for passed and f for failed, states what the endpoint is taken for after each: + or -.
		results, states string
	}{
		{"new endpoints are used", 3, 2, "p", "+"},
		{"first failure", 1, 1, "f", "-"},
		{"threshold", 3, 2, "ffff", "++--"},
		{"a passed check ends the row", 3, 2, "ffpffpfff", "++++++++-"},
		{"back", 1, 2, "fppp", "--++"},
		{"a failed check ends the row of passed ones", 1, 2, "fpfpp", "----+"},
		{"back at once", 2, 1, "ffpff", "+-++-"},
		{"unknown, and the first fails", 3, 2, "fppfff", "--+++-"},
		{"unknown, and the first passes", 3, 2, "pfff", "+++-"},
		{"the row begins again after a change", 2, 2, "ffppffpp", "+--++--+"},
	} {
		s := state{unknown: strings.HasPrefix(c.name, "unknown")}
		got := ""
		p := &plan{unhealthy: c.unhealthy, healthy: c.healthy}
		for _, r := range c.results {
			was := s.failing
			if changed := s.record(r == 'f', p); changed != (was != s.failing) {
				t.Errorf("%s: after %q: changed %t", c.name, got, changed)
			}
			if s.failing {
				got += "-"
			} else {
				got += "+"
			}
		}
		if got != c.states {
			t.Errorf("%s: %s gives %s, want %s", c.name, c.results, got, c.states)
		}
	}
}
