package admission

import (
	"net/netip"
	"slices"
)

// maxOrigins is how many sources of one peer are remembered. A peer has at most 64 replicas linked at a time.
const maxOrigins = 128

// Origins remembers from where a peer has connected: a source that was never seen before is worth a look, since a stolen SVID is
// used from elsewhere. The zero value knows none.
type Origins struct{ newestLast []netip.Prefix }

// New returns true when a peer that is known connects from a source for the first time. Of too many sources the one that was not
// used for the longest time is forgotten.
func (o *Origins) New(source netip.Prefix) bool {
	known := len(o.newestLast) > 0
	at := slices.Index(o.newestLast, source)
	if at >= 0 {
		o.newestLast = slices.Delete(o.newestLast, at, at+1)
	}
	o.newestLast = append(o.newestLast, source)
	if len(o.newestLast) > maxOrigins {
		o.newestLast = slices.Delete(o.newestLast, 0, 1)
	}
	return known && at < 0
}
