package steer

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
)

// Place is the region of the clients in a prefix.
type Place struct {
	Prefix netip.Prefix
	Region string
}

// Table finds the region of a client: the longest prefix decides. The zero value knows none.
type Table struct{ of [families]ranges }

// ranges are the places of one family in the order of their addresses, wider ones first.
type ranges struct {
	places []Place
	parent []int     // the longest place around each; -1: none
	most   [][]uint8 // most[k][i] is the longest of the 2^k prefixes from i on
}

// NewTable makes a Table.
func NewTable(places []Place) Table {
	var t Table
	for f := range families {
		own := slices.DeleteFunc(slices.Clone(places), func(p Place) bool { return familyOf(p.Prefix.Addr()) != f })
		t.of[f] = newRanges(own)
	}
	return t
}

func newRanges(places []Place) ranges {
	slices.SortStableFunc(places, func(a, b Place) int { return compare(a.Prefix, b.Prefix) })
	r := ranges{places: places, parent: make([]int, len(places))}
	around := -1
	for i, p := range places {
		for around >= 0 && !places[around].Prefix.Contains(p.Prefix.Addr()) {
			around = r.parent[around]
		}
		r.parent[i], around = around, i
	}
	longest := make([]uint8, len(places))
	for i, p := range places {
		longest[i] = uint8(p.Prefix.Bits())
	}
	for step := 1; len(longest) > 0; step *= 2 {
		r.most = append(r.most, longest)
		var next []uint8
		for i := 0; i+step < len(longest); i++ {
			next = append(next, max(longest[i], longest[i+step]))
		}
		longest = next
	}
	return r
}

func compare(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// Region finds the region of a client of whom a prefix is known, "" if the table has none, and the scope: for how many leading bits of the
// client's address the result is the same (RFC 7871, section 7.2.1). It is more than the client's prefix has if that is not enough to
// tell.
func (t Table) Region(client netip.Prefix) (region string, scope int) {
	client = netip.PrefixFrom(client.Addr().Unmap(), client.Bits()).Masked()
	if !client.IsValid() {
		return "", 0
	}
	return t.of[familyOf(client.Addr())].region(client)
}

func (r *ranges) region(client netip.Prefix) (region string, scope int) {
	after := sort.Search(len(r.places), func(i int) bool { return compare(r.places[i].Prefix, client) > 0 })
	at := after - 1
	for at >= 0 && !r.places[at].Prefix.Contains(client.Addr()) {
		at = r.parent[at]
	}
	if at >= 0 {
		region, scope = r.places[at].Region, r.places[at].Prefix.Bits()
	}
	// Of the places beside the client those next to it have the most bits in common with it.
	beside := func(i int) {
		if i >= 0 && i < len(r.places) && i != at {
			scope = max(scope, commonBits(r.places[i].Prefix.Addr(), client.Addr())+1)
		}
	}
	beside(after - 1)
	within := sort.Search(len(r.places)-after, func(i int) bool { return !client.Contains(r.places[after+i].Prefix.Addr()) })
	beside(after + within)
	if within > 0 { // the client's prefix has them in it
		k := bits.Len(uint(within)) - 1
		scope = max(scope, int(max(r.most[k][after], r.most[k][after+within-(1<<k)])))
	}
	return region, scope
}

// commonBits is how many leading bits two addresses of one family share.
func commonBits(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		if diff := x[i] ^ y[i]; diff != 0 {
			n := i * 8
			for diff&0x80 == 0 {
				diff <<= 1
				n++
			}
			return n
		}
	}
	return len(x) * 8
}
