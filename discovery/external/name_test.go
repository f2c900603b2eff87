package external

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func addresses(text string) []netip.Addr {
	var out []netip.Addr
	for a := range strings.FieldsSeq(text) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// What a name has after some lookups: its addresses, when it is looked up again, and why it fails.
func TestName(t *testing.T) {
	t.Parallel()
	const half, full = 30 * time.Second, time.Minute
	alone := &name{answered: true} // it has no addresses of the other family
	type step struct {
		addresses string
		ttl       time.Duration
		err       string
	}
	for _, tt := range []struct {
		name  string
		steps []step
		want  string
		again time.Duration
		err   string
	}{
		{name: "never looked up", want: "[]"},
		{name: "an answer", steps: []step{{addresses: "10.0.0.2 10.0.0.1", ttl: half}}, want: "[10.0.0.1 10.0.0.2]", again: half},
		{
			name: "twice the same address", steps: []step{{addresses: "10.0.0.1 ::ffff:10.0.0.1 fd00::1%eth0", ttl: full}},
			want: "[10.0.0.1 fd00::1]", again: full,
		},
		{name: "no TTL", steps: []step{{addresses: "10.0.0.1"}}, want: "[10.0.0.1]", again: minTTL},
		{name: "a day", steps: []step{{addresses: "10.0.0.1", ttl: 24 * time.Hour}}, want: "[10.0.0.1]", again: maxTTL},
		{name: "others", steps: []step{{addresses: "10.0.0.1", ttl: full}, {addresses: "10.0.0.2", ttl: full}}, want: "[10.0.0.2]", again: full},
		{name: "never found", steps: []step{{err: "gone"}}, want: "[]", again: retryMin, err: "gone"},
		{name: "not found again", steps: []step{{addresses: "10.0.0.1", ttl: full}, {err: "gone"}}, want: "[10.0.0.1]", again: retryMin, err: "gone"},
		{
			name: "an empty answer", steps: []step{{addresses: "10.0.0.1", ttl: full}, {ttl: full}}, want: "[10.0.0.1]",
			again: retryMin, err: "it has no addresses",
		},
		{name: "for long", steps: []step{{err: "a"}, {err: "b"}, {err: "c"}}, want: "[]", again: 4 * retryMin, err: "c"},
		{name: "for very long", steps: slicesOf(step{err: "a"}, 20), want: "[]", again: retryMax, err: "a"},
		{name: "found again", steps: []step{{err: "a"}, {err: "b"}, {addresses: "10.0.0.1", ttl: full}}, want: "[10.0.0.1]", again: full},
		{name: "after it", steps: []step{{err: "a"}, {err: "b"}, {addresses: "10.0.0.1"}, {err: "c"}}, want: "[10.0.0.1]", again: retryMin, err: "c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var n name
			now := time.Unix(1000, 0)
			for i, s := range tt.steps {
				if !n.isDue(now) {
					t.Fatalf("it is not due before step %d", i)
				}
				n.looking = true
				before := fmt.Sprint(n.addresses)
				if s.err != "" {
					n.failed(now, s.err, 0.5)
				} else if changed := n.found(now, addresses(s.addresses), s.ttl, alone); changed != (before != fmt.Sprint(n.addresses)) {
					t.Errorf("changed: %v, from %s to %v", changed, before, n.addresses)
				}
				if n.isDue(n.due.Add(-1)) || n.looking {
					t.Error("it is due too early, or still looked up")
				}
				if i < len(tt.steps)-1 {
					now = n.due
				}
			}
			again := time.Duration(0)
			if len(tt.steps) > 0 {
				again = n.due.Sub(now)
			}
			if got := fmt.Sprint(n.addresses); got != tt.want || n.err != tt.err || again.Round(time.Second) != tt.again {
				t.Errorf("%s, %q, again after %v", got, n.err, again)
			}
		})
	}
}

func slicesOf[T any](one T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = one
	}
	return out
}

// However many addresses a name has, the same ones are used.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	var all []netip.Addr
	for i := range 250 {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, 0, byte(250 - i)}))
	}
	var n name
	if !n.found(time.Now(), all, 0, nil) || len(n.addresses) != maxAddresses || n.addresses[0] != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("%d: %v", len(n.addresses), n.addresses)
	}
}

// A name that has addresses of the other family, or may have, need not have any of this one.
func TestNoAddressesOfAFamily(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	for name, sibling := range map[string]*name{
		"not known": {}, "failing": {err: "x"}, "has some": {answered: true, addresses: addresses("10.0.0.1")},
	} {
		n := name6(t, now)
		if !n.found(now, nil, 0, sibling) || len(n.addresses) > 0 || n.err != "" || n.due.Sub(now) != noneTTL {
			t.Errorf("%s: %+v", name, n)
		}
	}
	n := name6(t, now)
	if n.found(now, nil, 0, &name{answered: true}) || len(n.addresses) == 0 || n.err == "" {
		t.Errorf("neither has any: %+v", n)
	}
}

func name6(t *testing.T, now time.Time) *name {
	t.Helper()
	var n name
	if !n.found(now, addresses("fd00::1"), 0, nil) {
		t.Fatal("it is not found")
	}
	return &n
}
