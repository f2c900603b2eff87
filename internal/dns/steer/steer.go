package steer

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/eastway/eastway/internal/dns/judge"
)

// Strategy is one of those of a GlobalName, by k8gb's names.
type Strategy string

// The strategies.
const (
	RoundRobin Strategy = "roundRobin" // all that are in, in turn
	Failover   Strategy = "failover"   // the first entry that is in
	Weighted   Strategy = "weighted"   // one entry, by its part of all weights
	Geo        Strategy = "geo"        // the entries of the client's region, else all
)

// Strategies are all of them.
func Strategies() []Strategy { return []Strategy{RoundRobin, Failover, Weighted, Geo} }

// Entry is one way into a name's services.
type Entry struct {
	Region    string
	Weight    int // of the strategy weighted; 0: only if there is nothing else
	Addresses []judge.Address
}

// Choice is what a client gets.
type Choice struct {
	// Addresses are never empty if an entry has one that is judged at all, or may live.
	Addresses []netip.Addr
	// Panic: nothing is in. The addresses are all that may live, the last known good ones first.
	Panic bool
}

// Chooser is what a choice depends on besides its client; it may be used by any number of goroutines.
type Chooser struct {
	strategy Strategy
	in       []Entry      // that have addresses that are in, and only those
	panic    []netip.Addr // what is answered if there are none
}

// New makes a Chooser of entries in the order of their priority.
func New(strategy Strategy, entries []Entry) *Chooser {
	c := &Chooser{strategy: strategy}
	for _, e := range entries {
		e.Addresses = slices.DeleteFunc(slices.Clone(e.Addresses), func(a judge.Address) bool { return !a.In })
		if len(e.Addresses) > 0 {
			c.in = append(c.in, e)
		}
	}
	if len(c.in) == 0 {
		c.panic = mayLive(entries)
	}
	return c
}

// Panic is true while nothing is in.
func (c *Chooser) Panic() bool { return len(c.in) == 0 }

// mayLive are all addresses that may live; if none may, all. The last known good ones are first.
func mayLive(entries []Entry) []netip.Addr {
	var all []judge.Address
	for _, e := range entries {
		all = append(all, e.Addresses...)
	}
	living := slices.DeleteFunc(slices.Clone(all), func(a judge.Address) bool { return !a.MayLive })
	if len(living) == 0 {
		living = all
	}
	slices.SortStableFunc(living, func(a, b judge.Address) int {
		return cmp.Or(compareBool(b.Passing, a.Passing), b.LastGood.Compare(a.LastGood))
	})
	return distinct(living)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// Choose is for a client in a region, "" where that is not known. random returns a number from 0 to below n.
func (c *Chooser) Choose(region string, random func(n int) int) Choice {
	if c.Panic() {
		return Choice{Addresses: slices.Clone(c.panic), Panic: true}
	}
	var chosen []judge.Address
	for _, e := range c.entries(region, random) {
		chosen = append(chosen, e.Addresses...)
	}
	out := distinct(chosen)
	for i := len(out) - 1; i > 0; i-- {
		j := random(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return Choice{Addresses: out}
}

// Answered are the addresses that clients get, some of them at least.
func (c *Chooser) Answered() map[netip.Addr]bool {
	out := make(map[netip.Addr]bool)
	for _, a := range c.panic {
		out[a] = true
	}
	sum := 0
	for i := range c.in {
		sum += c.in[i].Weight
	}
	for i := range c.in {
		if c.strategy == Failover && i > 0 || c.strategy == Weighted && sum > 0 && c.in[i].Weight == 0 {
			continue
		}
		for _, a := range c.in[i].Addresses {
			out[a.Addr] = true
		}
	}
	return out
}

// entries are those that a client gets the addresses of.
func (c *Chooser) entries(region string, random func(n int) int) []Entry {
	switch c.strategy {
	case Failover:
		return c.in[:1]
	case Weighted:
		i := c.byWeight(random)
		return c.in[i : i+1]
	case Geo:
		near := slices.DeleteFunc(slices.Clone(c.in), func(e Entry) bool { return e.Region != region })
		if region != "" && len(near) > 0 {
			return near
		}
	}
	return c.in
}

func (c *Chooser) byWeight(random func(n int) int) int {
	sum := 0
	for i := range c.in {
		sum += c.in[i].Weight
	}
	if sum == 0 {
		return random(len(c.in))
	}
	at := random(sum)
	for i := range c.in {
		if at -= c.in[i].Weight; at < 0 {
			return i
		}
	}
	return 0
}

// distinct are the addresses in order, each once: entries may share one.
func distinct(all []judge.Address) []netip.Addr {
	out := make([]netip.Addr, 0, len(all))
	for i := range all {
		if !slices.Contains(out, all[i].Addr) {
			out = append(out, all[i].Addr)
		}
	}
	return out
}
