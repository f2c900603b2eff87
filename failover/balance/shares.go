package balance

import (
	"math/rand/v2"
	"slices"
)

// shares are the parts of the next calls that go to each candidate first, as long as nothing changes but the rounds of ROUND_ROBIN. They
// are computed from the odds that order draws by, where these are few and do not change from call to call; else order is tried out.
func (c *choice) shares(candidates []Candidate) []float64 {
	var ramping []int
	for i := range candidates {
		if c.ramps(&candidates[i]) {
			ramping = append(ramping, i)
		}
	}
	switch {
	case len(candidates) == 0:
		return nil
	case c.affinity == 0 && c.method == roundRobin, c.tooMany(len(candidates), len(ramping)):
		return c.tried(candidates)
	}
	out := make([]float64, len(candidates))
	for set := range 1 << len(ramping) {
		waits, p := make([]bool, len(candidates)), 1.0
		for bit, i := range ramping {
			if waits[i] = set>>bit&1 == 1; waits[i] {
				p *= 1 - candidates[i].share
			} else {
				p *= candidates[i].share
			}
		}
		if p > 0 {
			c.addFirsts(out, candidates, waits, p)
		}
	}
	return out
}

// tooMany is true when there are too many cases of which locality is first and which candidates stand in their places.
func (c *choice) tooMany(candidates, ramping int) bool {
	const mostBits = 31 // so that nothing overflows
	return ramping > mostBits || max(len(c.weights), 1)*candidates > maxPlacings>>ramping
}

// addFirsts adds the probabilities of being first while those candidates wait, times p.
func (c *choice) addFirsts(out []float64, candidates []Candidate, waits []bool, p float64) {
	if c.affinity != 0 || len(c.weights) == 0 {
		c.addOdds(out, c.first(candidates, c.draw(candidates).turn, waits), p)
		return
	}
	// The turn of a locality comes first with the probability of its share among those that can serve.
	levels, all := make(map[int][]*contender), 0.0
	for i := range c.weights {
		turn := slices.Repeat([]int{1}, len(c.weights))
		turn[i] = 0
		level := c.first(candidates, turn, waits)
		if len(level[0].place.parts) == 0 { // none that has a weight can serve
			c.addOdds(out, level, p)
			return
		}
		if level[0].rank.turn == 0 {
			levels[i] = level
			all += c.weights[i].share
		}
	}
	for i, level := range levels {
		c.addOdds(out, level, p*c.weights[i].share/all)
	}
}

// first is the level that comes first, sorted.
func (c *choice) first(candidates []Candidate, turn []int, waits []bool) []*contender {
	all := c.contenders(candidates, lots{turn: turn, waits: waits})
	least := slices.MinFunc(all, (*contender).compareLevel)
	level := slices.DeleteFunc(all, func(one *contender) bool { return one.compareLevel(least) != 0 })
	c.sort(level)
	return level
}

// addOdds adds those of a level, times p.
func (c *choice) addOdds(out []float64, level []*contender, p float64) {
	c.odds(level)
	for _, one := range level {
		out[one.index] += p * one.odds
	}
}

// tried puts a copy of the candidates in order many times, always with the same random numbers.
func (c *choice) tried(candidates []Candidate) []float64 {
	by, now := *c, slices.Clone(candidates)
	rnd := rand.New(rand.NewPCG(1, uint64(len(candidates))))
	by.random = random{intN: rnd.IntN, float64: rnd.Float64}
	at := make(map[Address]int, len(now))
	for i := range now {
		at[now[i].Address] = i
	}
	n := min(maxTriedCalls, maxPlacings/len(now))
	out := make([]float64, len(now))
	for range n {
		first := by.order(now)[0]
		i := at[first.Address]
		out[i] += 1 / float64(n)
		if first.turn.counts {
			now[i].round = first.turn.after(now[i].round)
		}
	}
	return out
}

// anyKey are the shares of calls that stay with one endpoint by a key which is not known: all keys together are divided as at random,
// and what ramps up has its full share.
func (c *choice) anyKey(candidates []Candidate) []float64 {
	by, warm := *c, slices.Clone(candidates)
	by.method, by.affinity = atRandom, 0
	for i := range warm {
		warm[i].share = 1
	}
	return by.shares(warm)
}
