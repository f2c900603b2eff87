package tried

import (
	"slices"

	"github.com/eastway/eastway/failover/balance"
)

// Set is what one request has tried. The zero Set is that of a request without a try.
type Set struct {
	// tried are candidates that had the request, or could not take it; cut are peers to which the connection was lost once.
	tried, cut []balance.Address
	// at are the endpoints of each peer that had the request.
	at map[string][]string
}

// Add takes in a candidate that comes last from now on.
func (s *Set) Add(a balance.Address) { s.tried = append(s.tried, a) }

// AddAt takes in an endpoint of a peer; empty: none had the request.
func (s *Set) AddAt(peer, endpoint string) {
	if endpoint == "" || slices.Contains(s.at[peer], endpoint) {
		return
	}
	if s.at == nil {
		s.at = make(map[string][]string, 1)
	}
	s.at[peer] = append(s.at[peer], endpoint)
}

// Cut takes in a peer to which the connection was lost. Once, that says nothing of its endpoints.
func (s *Set) Cut(a balance.Address) {
	if slices.Contains(s.cut, a) {
		s.Add(a)
		return
	}
	s.cut = append(s.cut, a)
}

// At are the endpoints of a peer that had the request.
func (s *Set) At(peer string) []string { return s.at[peer] }

// Sort splits the candidates for the next try into those that were not tried, peers that may be tried again, since another lane or
// another endpoint of theirs is left, in this order, and all others. before are candidates that had the request before it came here.
func (s *Set) Sort(all []balance.Candidate, before []string) (untried, again, rest []balance.Candidate) {
	if len(s.tried)+len(s.cut)+len(before) == 0 {
		return all, nil, nil
	}
	cut := 0
	for i := range all {
		c := &all[i]
		isTried := slices.Contains(s.tried, c.Address) || slices.Contains(before, c.String())
		switch seen := len(s.at[c.Peer]); {
		case !isTried && slices.Contains(s.cut, c.Address):
			again = slices.Insert(again, cut, *c)
			cut++
		case !isTried:
			untried = append(untried, *c)
		case seen > 0 && seen < c.Endpoints:
			again = append(again, *c)
		default:
			rest = append(rest, *c)
		}
	}
	return untried, again, rest
}
