package external

import (
	"net/netip"
	"slices"
	"time"

	"github.com/eastway/eastway/internal/pace"
)

const (
	// minTTL is how long an answer is used at least, maxTTL at most: a TTL of 0 would make a lookup of each moment, and what does not come
	// from DNS, such as the system's file of hosts, has none.
	minTTL = time.Second
	maxTTL = 5 * time.Minute
	// noneTTL is how long a name is taken to have no addresses of a family.
	noneTTL = 30 * time.Second
	// retryMin and retryMax bound the pause after a lookup that failed, which doubles.
	retryMin = time.Second
	retryMax = 30 * time.Second
	// maxAddresses is how many addresses of a name are used of each family, the smallest ones: each is an endpoint.
	maxAddresses = 32
)

// families are the networks that names are looked up in, each by itself: one that a name server does not answer for costs the other nothing.
func families() []string { return []string{"ip4", "ip6"} }

// key is a name in one family.
type key struct{ host, family string }

// sibling is the name in the other family.
func (k key) sibling() key {
	for _, other := range families() {
		if other != k.family {
			return key{k.host, other}
		}
	}
	return k
}

// String is for operators.
func (k key) String() string { return k.host + " (IPv" + k.family[len("ip"):] + ")" }

// name is what is known of one, in a family. The zero value was never looked up, and is due.
type name struct {
	addresses []netip.Addr // as found last, sorted
	answered  bool
	due       time.Time
	looking   bool
	failures  int    // in a row
	err       string // of the last lookup; empty: it was answered
}

// isEmpty is true if the name has no addresses, as far as is known.
func (n *name) isEmpty() bool { return n != nil && n.answered && len(n.addresses) == 0 }

// isDue is true if it has to be looked up.
func (n *name) isDue(now time.Time) bool { return !n.looking && !n.due.After(now) }

// found takes an answer, and is true if the addresses are others than before. Where the name has none in the other family either, an answer
// without addresses is a failure: it comes from a name server that has lost its zone, too, and an endpoint that is gone is noticed by its
// connections.
func (n *name) found(now time.Time, addresses []netip.Addr, ttl time.Duration, sibling *name) (changed bool) {
	addresses = unique(addresses)
	switch {
	case len(addresses) > 0:
	case sibling.isEmpty():
		n.failed(now, "it has no addresses", 0)
		return false
	default:
		ttl = noneTTL
	}
	changed = !slices.Equal(n.addresses, addresses)
	n.addresses, n.answered, n.looking, n.failures, n.err = addresses, true, false, 0, ""
	n.due = now.Add(min(max(ttl, minTTL), maxTTL))
	return changed
}

// failed takes a lookup that failed; random is in [0, 1).
func (n *name) failed(now time.Time, err string, random float64) {
	n.failures++
	n.looking, n.err = false, err
	n.due = now.Add(pace.Spread(pace.Backoff(n.failures, retryMin, retryMax), 0.75, 1.25, random))
}

// unique are the first addresses in order, without zones, each once.
func unique(addresses []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(addresses))
	for _, a := range addresses {
		out = append(out, a.Unmap().WithZone(""))
	}
	slices.SortFunc(out, netip.Addr.Compare)
	out = slices.Compact(out)
	return out[:min(len(out), maxAddresses)]
}
