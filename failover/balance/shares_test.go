package balance

import (
	"testing"
	"testing/synctest"
)

// With more cases than are computed, calls are tried out: the prediction holds too.
func TestSharesOfManyCases(t *testing.T) {
	t.Parallel()
	const share, n = 0.1, 25
	for name, tt := range map[string]struct {
		town *town
		peer string
		rule string
	}{
		"levels": {newTown(nil).local(here, n).peer("far", abroad), "far", "failover: peer in region ap-northeast-1 while own zone ramps up"},
		"weights": {
			newTown(distribute(map[string]uint32{"cn-hangzhou": 80, "cn-shanghai": 20})).local(here, n).peer("west", shanghai),
			"west", "distribute 20 %",
		},
	} {
		synctest.Test(t, func(t *testing.T) { // time stands still
			tt.town.apply()
			for a, change := range rampingAll(n, share) {
				change(tt.town.target(a))
			}
			rows := tt.town.predicted(t, Query{Caller: Caller{Cluster: "here", Locality: here}})
			if got := rows[tt.peer]; got.Rule != tt.rule || got.Share == 0 {
				t.Errorf("%s: %.1f %s, want %s", name, got.Share, got.Rule, tt.rule)
			}
		})
	}
}

// What is computed is bounded, whatever the number of localities, candidates and of those that ramp up.
func TestTooManyCases(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		weights, candidates, ramping int
		want                         bool
	}{
		{0, 1000, 10, false},
		{0, 1000, 11, true},
		{100, 1000, 4, false},
		{100, 1000, 5, true},
		{0, 20, 16, false},
		{0, 1, 1000, true},
	} {
		by := choice{weights: make([]weight, tt.weights)}
		if got := by.tooMany(tt.candidates, tt.ramping); got != tt.want {
			t.Errorf("%+v: %t", tt, got)
		}
	}
}
