package steer

import (
	"cmp"
	"net/netip"
	"slices"
)

// Place is the region of the clients in a prefix.
type Place struct {
	Prefix netip.Prefix
	Region string
}

// Table finds the region of a client: the longest prefix decides. The zero value knows none. Its size is bounded by its reader.
type Table struct{ places []Place } // the longest prefixes first

// NewTable makes a Table.
func NewTable(places []Place) Table {
	sorted := slices.Clone(places)
	slices.SortStableFunc(sorted, func(a, b Place) int { return cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()) })
	return Table{places: sorted}
}

// Region finds the region of a client of whom a prefix is known, "" if the table has none, and the scope: for how many leading bits of the
// client's address the result is the same (RFC 7871, section 7.2.1). It is more than the client's prefix has if that is not enough to
// tell.
func (t Table) Region(client netip.Prefix) (region string, scope int) {
	client = netip.PrefixFrom(client.Addr().Unmap(), client.Bits()).Masked()
	if !client.IsValid() {
		return "", 0
	}
	for i := range t.places {
		p := &t.places[i]
		if p.Prefix.Bits() <= client.Bits() && p.Prefix.Contains(client.Addr()) {
			region, scope = p.Region, p.Prefix.Bits()
			break
		}
	}
	for i := range t.places {
		p := &t.places[i]
		if p.Prefix.Addr().BitLen() != client.Addr().BitLen() || p.Prefix.Bits() <= scope {
			continue
		}
		common := commonBits(p.Prefix.Addr(), client.Addr())
		if common >= client.Bits() { // the place lies within the client's prefix
			scope = max(scope, p.Prefix.Bits())
			continue
		}
		scope = max(scope, min(common+1, p.Prefix.Bits()))
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
