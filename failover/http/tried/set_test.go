package tried

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/failover/balance"
)

func local(at string) balance.Address { return balance.Address{Endpoint: netip.MustParseAddrPort(at)} }

func TestSort(t *testing.T) {
	t.Parallel()
	one, two := local("10.0.0.1:80"), local("10.0.0.2:80")
	west, far := balance.Address{Peer: "west"}, balance.Address{Peer: "far"}
	all := []balance.Candidate{
		{Address: one, Endpoints: 1}, {Address: two, Endpoints: 1}, {Address: west, Endpoints: 3}, {Address: far, Endpoints: 2},
	}
	for name, test := range map[string]struct {
		tries  func(s *Set)
		before []string
		want   string // untried | again | rest
	}{
		"nothing":                   {tries: func(*Set) {}, want: "one two west far | |"},
		"an endpoint":               {tries: func(s *Set) { s.Add(one) }, want: "two west far | | one"},
		"before it came here":       {tries: func(*Set) {}, before: []string{two.String()}, want: "one west far | | two"},
		"a peer":                    {tries: func(s *Set) { s.Add(west) }, want: "one two far | | west"},
		"one endpoint of a peer":    {tries: func(s *Set) { s.Add(west); s.AddAt("west", "a") }, want: "one two far | west |"},
		"no endpoint of a peer":     {tries: func(s *Set) { s.Add(west); s.AddAt("west", "") }, want: "one two far | | west"},
		"the same endpoint twice":   {tries: func(s *Set) { s.Add(far); s.AddAt("far", "a"); s.AddAt("far", "a") }, want: "one two west | far |"},
		"all endpoints of a peer":   {tries: func(s *Set) { s.Add(far); s.AddAt("far", "a"); s.AddAt("far", "b") }, want: "one two west | | far"},
		"a lane":                    {tries: func(s *Set) { s.Cut(west) }, want: "one two far | west |"},
		"two lanes":                 {tries: func(s *Set) { s.Cut(west); s.Cut(west) }, want: "one two far | | west"},
		"a lane, then its endpoint": {tries: func(s *Set) { s.Cut(west); s.Add(west); s.AddAt("west", "a") }, want: "one two far | west |"},
		"a lane comes before an endpoint": {tries: func(s *Set) {
			s.Add(west)
			s.AddAt("west", "a")
			s.Cut(far)
		}, want: "one two | far west |"},
	} {
		var s Set
		test.tries(&s)
		names := map[balance.Address]string{one: "one", two: "two", west: "west", far: "far"}
		text := func(list []balance.Candidate) string {
			var out []string
			for i := range list {
				out = append(out, names[list[i].Address])
			}
			return strings.Join(out, " ")
		}
		untried, again, rest := s.Sort(slices.Clone(all), test.before)
		if got := strings.TrimSpace(text(untried) + " | " + text(again) + " | " + text(rest)); strings.Join(strings.Fields(got), " ") != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
