package main

import (
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	t.Parallel()
	type step struct {
		after         time.Duration
		missing       []string
		catalog, used uint64
		ready         bool
	}
	for name, steps := range map[string][]step{
		"a peer is missing": {
			{0, []string{"b", "c"}, 1, 1, false},
			{peersGrace - 1, []string{"c"}, 2, 2, false},
			{peersGrace, []string{"c"}, 2, 2, true},
			{peersGrace + time.Second, []string{"b", "c"}, 2, 2, true}, // a tunnel that is lost later is not its business
		},
		"no peers": {{0, nil, 1, 1, true}},
		"exports are not in use": {
			{0, []string{"b"}, 1, 1, false},
			{1, nil, 5, 1, false},
			{2, nil, 7, 4, false},
			{3, nil, 9, 5, true},
		},
		"a peer is lost before its exports are in use": {
			{0, nil, 5, 1, false},
			{1, []string{"b"}, 5, 1, false},
			{2, []string{"b"}, 6, 5, true},
		},
		"exports that come into use too late": {
			{0, nil, 5, 1, false},
			{peersGrace, nil, 5, 1, true},
		},
	} {
		var g gate
		began := time.Now()
		for i, s := range steps {
			if err := g.check(began.Add(s.after), s.missing, s.catalog, s.used); (err == nil) != s.ready {
				t.Errorf("%s: step %d: %v", name, i, err)
			}
		}
	}
}
