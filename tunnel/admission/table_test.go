package admission

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/source"
)

func at(ip string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1234))
}

// crowd is a table with an attacker in it.
type crowd struct {
	Table

	now time.Time
	own []*Place // of the connection that is watched
}

func newCrowd() *crowd { return &crowd{now: time.Unix(1000, 0)} }

// arrive admits connections, one each millisecond.
func (c *crowd) arrive(n int, from func(i int) string) {
	for i := range n {
		c.now = c.now.Add(time.Millisecond)
		c.Admit(at(from(i)), nil, c.now)
	}
}

func (c *crowd) watch(ip string) *Place {
	c.now = c.now.Add(time.Millisecond)
	p, _ := c.Admit(at(ip), nil, c.now)
	c.own = append(c.own, p)
	return p
}

func (c *crowd) prove(ip string) {
	p, _ := c.Admit(at(ip), nil, c.now)
	c.Proved(p, c.now)
	c.Leave(p)
}

func one(ip string) func(int) string { return func(int) string { return ip } }

func ipv4(i int) string      { return fmt.Sprintf("198.51.%d.%d", i/250, i%250) }
func ipv4Twice(i int) string { return ipv4(i / 2) }

// ipv6 are so many /64 of one /48.
func ipv6(i int) string { return fmt.Sprintf("2001:db8:1:%x::1", i) }

// What strangers do, a connection keeps its place for as long as it is not the one that was silent longest where they come from.
func TestTable(t *testing.T) {
	t.Parallel()
	const honest = "192.0.2.1"
	for _, tt := range []struct {
		name string
		run  func(c *crowd)
		lost bool
	}{
		{"one address with as many as it likes", func(c *crowd) {
			c.watch(honest)
			c.arrive(1500, one("198.51.100.7"))
		}, false},
		{"the same address, within the time of a handshake", func(c *crowd) {
			c.arrive(1500, one(honest))
			c.watch(honest)
			c.arrive(maxStrangers-1, one(honest))
		}, false},
		{"the same address, when it has been silent for longer than all others", func(c *crowd) {
			c.arrive(1500, one(honest))
			c.watch(honest)
			c.arrive(maxStrangers, one(honest))
		}, true},
		{"the same address, but it makes progress", func(c *crowd) {
			c.arrive(1500, one(honest))
			p := c.watch(honest)
			c.arrive(maxStrangers-1, one(honest))
			c.Step(p, c.now.Add(time.Microsecond))
			c.arrive(maxStrangers-1, one(honest))
		}, false},
		{"a /56 of IPv6", func(c *crowd) {
			for range fairShare {
				c.watch("2001:db8:2::1")
			}
			c.arrive(1500, func(i int) string { return ipv6(i % 256) })
		}, false},
		{"another /64 of the same /48", func(c *crowd) {
			c.arrive(1500, one("2001:db8:1:1::1"))
			c.watch("2001:db8:1:2::1")
			c.arrive(1500, one("2001:db8:1:1::1"))
		}, false},
		{"many addresses, when no peer has come from there", func(c *crowd) {
			c.watch(honest)
			c.arrive(maxStrangers, ipv4)
		}, true},
		{"many addresses with a few each, within the time of a handshake", func(c *crowd) {
			c.arrive(2*maxStrangers, ipv4Twice)
			for range fairShare {
				c.watch(honest)
			}
			c.arrive(maxStrangers-fairShare, ipv4Twice)
		}, false},
		{"many addresses, when a peer has come from there", func(c *crowd) {
			c.prove(honest)
			c.watch(honest)
			c.arrive(1500, ipv4)
		}, false},
		{"many addresses before it, when a peer has come from there", func(c *crowd) {
			c.prove(honest)
			c.arrive(1500, ipv4)
			c.watch(honest)
			c.arrive(1500, ipv4)
		}, false},
		{"a flood from behind the address of another peer", func(c *crowd) {
			c.prove(honest)
			c.prove("192.0.2.2")
			c.arrive(1500, one("192.0.2.2"))
			c.watch(honest)
			c.arrive(1500, one("192.0.2.2"))
		}, false},
		{"a flood from behind the address of a peer, and a stranger", func(c *crowd) {
			c.prove("192.0.2.2")
			c.arrive(1500, one("192.0.2.2"))
			c.watch(honest)
			c.arrive(1500, one("192.0.2.2"))
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd()
			tt.run(c)
			for i, p := range c.own {
				if lost := c.Lost(p); lost != tt.lost {
					t.Errorf("connection %d has lost its place: %v, want %v", i, lost, tt.lost)
				}
			}
			if n := c.Len(); n > MaxHandshakes || c.strangers > maxStrangers {
				t.Errorf("%d places, %d of strangers", n, c.strangers)
			}
		})
	}
}

// A newcomer always gets a place, at the cost of exactly one that has to make room, and everything is given back.
func TestPlacesComeBack(t *testing.T) {
	t.Parallel()
	var table Table
	now := time.Unix(1000, 0)
	table.Proved(&Place{Source: source.Of(at(ipv4(0)))}, now)
	var all []*Place
	lost := 0
	for i := range 3 * MaxHandshakes {
		from := ipv4(i % 7)
		if i%3 == 0 {
			from = ipv6(i)
		}
		p, victim := table.Admit(at(from), nil, now)
		all = append(all, p)
		if victim != nil {
			lost++
			if !table.Lost(victim) || victim == p {
				t.Fatalf("victim %v of %v", victim.Source, p.Source)
			}
		}
		if table.Len() != len(all)-lost {
			t.Fatalf("%d places, %d came, %d lost theirs", table.Len(), len(all), lost)
		}
	}
	for _, p := range all {
		if table.Leave(p) {
			lost--
		}
		table.Leave(p)
	}
	if table.Len() != 0 || len(table.groups) != 0 || table.strangers != 0 || lost != 0 {
		t.Errorf("left: %d places, %v, %d strangers; %d more lost a place than know it", table.Len(), table.groups, table.strangers, lost)
	}
}

// Addresses prove themselves first where many handshakes are under way, from one source or from all.
func TestBusy(t *testing.T) {
	t.Parallel()
	var table Table
	busy := at("192.0.2.1")
	for i := range fairShare {
		if table.Busy(busy) {
			t.Fatalf("busy with %d from there", i)
		}
		table.Admit(busy, nil, time.Unix(0, 0))
	}
	if !table.Busy(busy) || table.Busy(at("192.0.2.2")) {
		t.Error("an address is not busy, or another one is")
	}
	for i := range busyAt - fairShare {
		table.Admit(at(ipv4(i)), nil, time.Unix(0, 0))
	}
	if !table.Busy(at("192.0.2.2")) {
		t.Error("not busy with that many")
	}
}

// Only the sources that authenticated last are remembered.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m memory
	from := func(i int) netip.Prefix { return source.Of(at(ipv6(i))) }
	for i := range 2 * maxRemembered {
		m.add(from(i))
		m.add(from(0))
	}
	if len(m.added) != maxRemembered || !m.has(from(0)) || m.has(from(1)) || !m.has(from(2*maxRemembered-1)) {
		t.Errorf("%d sources are remembered, not the last ones", len(m.added))
	}
}

// BenchmarkEviction is what a flood costs: all places are taken.
func BenchmarkEviction(b *testing.B) {
	var table Table
	from := at("192.0.2.1")
	now := time.Unix(0, 0)
	for b.Loop() {
		now = now.Add(time.Microsecond)
		table.Admit(from, nil, now)
	}
}

// TestFewPlaces: a table with fewer places divides them likewise.
func TestFewPlaces(t *testing.T) {
	t.Parallel()
	c := newCrowd()
	c.Most = 16
	c.arrive(100, ipv4)
	if c.Len() != 12 || !c.Busy(at("192.0.2.9")) {
		t.Errorf("%d places of strangers, want three quarters of 16, and busy", c.Len())
	}
	for range 100 {
		p, _ := c.Admit(at("192.0.2.1"), nil, c.now)
		c.Proved(p, c.now) // keeps its place
	}
	if c.Len() != 16 {
		t.Errorf("%d places, want 16", c.Len())
	}
	least := Table{Most: 1}
	for range 2 {
		if least.Admit(at("192.0.2.1"), nil, c.now); least.Len() != 1 {
			t.Errorf("%d places, want 1", least.Len())
		}
	}
}
