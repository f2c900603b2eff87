package watch

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/eastway/eastway/internal/dns/config"
)

// query is what is looked up: the addresses of one family of a host name.
type query struct{ host, family string }

const familyCount = 2

// families as lookups have them.
func families() [familyCount]string { return [familyCount]string{"ip4", "ip6"} }

var errNoAddresses = errors.New("it has no addresses")

// lookedUp is what is known of a host name. What was found last of a family stays in use when a later lookup fails.
type lookedUp struct {
	found map[string]answer
	inUse []netip.Addr
}

type answer struct {
	addresses []netip.Addr
	err       string // of the last lookup; empty: it was answered
}

// take notes the result of a lookup; true: other addresses are in use now. A name without any address keeps its last ones.
func (l *lookedUp) take(family string, addrs []netip.Addr, err error) bool {
	if l.found == nil {
		l.found = make(map[string]answer)
	}
	if err != nil {
		addrs = l.found[family].addresses
	}
	l.found[family] = answer{addresses: addrs, err: reason(err)}
	all := l.all()
	if len(all) == 0 || slices.Equal(all, l.inUse) {
		return false
	}
	l.inUse = all
	return true
}

func (l *lookedUp) all() (out []netip.Addr) {
	for _, f := range families() {
		out = append(out, l.found[f].addresses...)
	}
	return out
}

// tried is true once each family has had a result.
func (l *lookedUp) tried() bool { return l != nil && len(l.found) == familyCount }

// problem is why the name is not found as it should be; empty: it is.
func (l *lookedUp) problem() string {
	var errs []string
	for _, f := range families() {
		if err := l.found[f].err; err != "" && !slices.Contains(errs, err) {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 && l.tried() && len(l.all()) == 0 {
		return errNoAddresses.Error()
	}
	return strings.Join(errs, "; ")
}

// usable are the addresses of one lookup that clients can reach, a bounded number of them.
func usable(found []netip.Addr, loopback bool) []netip.Addr {
	out := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		a = a.Unmap().WithZone("")
		if config.Reachable(a) || loopback && a.IsLoopback() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	out = slices.Compact(out)
	return out[:min(len(out), maxFound)]
}
