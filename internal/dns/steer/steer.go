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

// Family is that of addresses, of which clients get one at a time.
type Family int

// The families.
const (
	IPv4 Family = iota
	IPv6
	families
)

// String is as logs have it.
func (f Family) String() string {
	if f == IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

func familyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Choice is what a client gets.
type Choice struct {
	// Addresses are never empty if an entry has one of the family.
	Addresses []netip.Addr
	// Panic: nothing is in. The addresses are all that may live, the best first.
	Panic bool
}

// Chooser is what a choice depends on besides its client; it may be used by any number of goroutines.
type Chooser struct{ of [families]choices }

// choices are those of one family: which entries can serve it is decided for each on its own.
type choices struct {
	strategy Strategy
	in       []Entry         // that have addresses that are in, and only those
	living   []judge.Address // what is answered if there are none, the best first
	judged   bool            // of the living, one at least
}

// New makes a Chooser of entries in the order of their priority.
func New(strategy Strategy, entries []Entry) *Chooser {
	c := new(Chooser)
	for f := range families {
		own := make([]Entry, 0, len(entries))
		for _, e := range entries {
			e.Addresses = slices.DeleteFunc(slices.Clone(e.Addresses), func(a judge.Address) bool { return familyOf(a.Addr) != f })
			own = append(own, e)
		}
		c.of[f] = newChoices(strategy, own)
	}
	return c
}

func newChoices(strategy Strategy, entries []Entry) choices {
	c := choices{strategy: strategy}
	for _, e := range entries {
		e.Addresses = slices.DeleteFunc(slices.Clone(e.Addresses), func(a judge.Address) bool { return !a.In })
		if len(e.Addresses) > 0 {
			c.in = append(c.in, e)
		}
	}
	if len(c.in) > 0 {
		return c
	}
	var all []judge.Address
	for _, e := range entries {
		all = append(all, e.Addresses...)
	}
	c.judged = slices.ContainsFunc(all, func(a judge.Address) bool { return a.Judged })
	c.living = slices.DeleteFunc(slices.Clone(all), func(a judge.Address) bool { return !a.MayLive })
	if len(c.living) == 0 {
		c.living = all
	}
	slices.SortStableFunc(c.living, func(a, b judge.Address) int { return cmp.Compare(rank(&a), rank(&b)) })
	return c
}

// rank of an address while nothing is in, the best first.
func rank(a *judge.Address) int {
	r := 0
	switch a.Verdict {
	case judge.CanServe:
	case judge.Unknown:
		r = 2
	default:
		r = 4
	}
	if !a.Passing {
		r++
	}
	return r
}

// Panic are the families of which nothing is in, though something was probed.
func (c *Chooser) Panic() (out []Family) {
	for f := range families {
		if len(c.of[f].in) == 0 && c.of[f].judged {
			out = append(out, f)
		}
	}
	return out
}

// Empty is true if there is no address at all.
func (c *Chooser) Empty() bool {
	for f := range families {
		if len(c.of[f].in) > 0 || len(c.of[f].living) > 0 {
			return false
		}
	}
	return true
}

// Choose is for a client in a region, "" where that is not known. random returns a number from 0 to below n.
func (c *Chooser) Choose(f Family, region string, random func(n int) int) Choice {
	return c.of[f].choose(region, random)
}

func (c *choices) choose(region string, random func(n int) int) Choice {
	if len(c.in) == 0 {
		living := shuffled(c.living, random)
		slices.SortStableFunc(living, func(a, b judge.Address) int { return cmp.Compare(rank(&a), rank(&b)) })
		return Choice{Addresses: distinct(living), Panic: true}
	}
	var chosen []judge.Address
	for _, e := range c.entries(region, random) {
		chosen = append(chosen, e.Addresses...)
	}
	return Choice{Addresses: distinct(shuffled(chosen, random))}
}

func shuffled(all []judge.Address, random func(n int) int) []judge.Address {
	out := slices.Clone(all)
	for i := len(out) - 1; i > 0; i-- {
		j := random(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// Answered are the addresses that clients get, some of them at least.
func (c *Chooser) Answered() map[netip.Addr]bool {
	out := make(map[netip.Addr]bool)
	for f := range families {
		c.of[f].answered(out)
	}
	return out
}

func (c *choices) answered(out map[netip.Addr]bool) {
	for i := range c.living {
		out[c.living[i].Addr] = true
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
}

// entries are those that a client gets the addresses of.
func (c *choices) entries(region string, random func(n int) int) []Entry {
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

func (c *choices) byWeight(random func(n int) int) int {
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
