package discovery

import (
	"slices"
	"strings"
	"testing"
)

// A peer that claims to be where it is not, such as in the caller's zone, counts as near to no caller there; it serves all the same. A Peer without
// localities may claim any.
func TestClaimedLocalities(t *testing.T) {
	t.Parallel()
	claims := []Locality{{"eu", "eu-1"}, {"eu", "eu-2"}, {"us", "us-1"}, {"us", ""}, {}}
	c := NewCatalog(nil)
	set := func(localities ...string) {
		l := localWith([]string{"b"})
		l.Peers["b"].Spec.Localities = localities
		c.SetLocal(l)
	}
	set()
	u := updateOf(1, 0, 1, 1, cart)
	e := Endpoints{}
	for i, at := range claims {
		e.Rows = append(e.Rows, Readiness{Locality: at, Port: 80, Ready: 1, Total: 1})
		e.Pods = append(e.Pods, Pod{Hostname: string(rune('a' + i)), Locality: at})
	}
	u.Readiness[cart] = e
	must(t, c.UpdateRemote(ReplicaID{"b", "r"}, u))
	for _, step := range []struct {
		localities []string
		want       string // of each claim, what counts
		outside    string
	}{
		{nil, "eu/eu-1 eu/eu-2 us/us-1 us/- -/-", ""},
		{[]string{"eu", "us"}, "eu/eu-1 eu/eu-2 us/us-1 us/- -/-", ""},
		{[]string{"eu"}, "eu/eu-1 eu/eu-2 -/- -/- -/-", "us/us-1"},
		{[]string{"us/us-1"}, "-/- -/- us/us-1 us/- -/-", "eu/eu-1"},
		{[]string{"eu/eu-2", "ap"}, "-/- eu/eu-2 -/- -/- -/-", "eu/eu-1"},
		{nil, "eu/eu-1 eu/eu-2 us/us-1 us/- -/-", ""},
	} {
		set(step.localities...)
		s := c.Snapshot()
		got := s.Services.Get(cart).Peers[0]
		var rows, pods []string
		for _, r := range got.Readiness {
			rows = append(rows, r.Locality.String())
		}
		for _, p := range got.Pods {
			pods = append(pods, p.Locality.String())
		}
		if strings.Join(rows, " ") != step.want || !slices.Equal(rows, pods) {
			t.Errorf("%q: %q, pods %q, want %s", step.localities, rows, pods, step.want)
		}
		problems := strings.Join(s.Problems(), " ")
		if step.outside == "" && problems != "" || step.outside != "" && !strings.Contains(problems, step.outside) {
			t.Errorf("%q: problems %q, want %s", step.localities, problems, step.outside)
		}
	}
}
