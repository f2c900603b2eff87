package server

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/source"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	l := newLimiter(2)
	start := time.Unix(1000, 0)
	for i, step := range []struct {
		after time.Duration
		from  string
		want  action
	}{
		{0, "192.0.2.1", send},
		{0, "192.0.2.200", send}, // of the same /24
		{0, "::ffff:192.0.2.3", drop},
		{0, "192.0.2.1", truncate},
		{0, "192.0.2.1", drop},
		{0, "192.0.3.1", send},
		{0, "2001:db8::1", send},
		{0, "2001:db8:0:ff::1", send}, // of the same /56
		{0, "2001:db8:0:1::1", drop},
		{0, "2001:db8:0:100::1", send},
		{time.Second, "192.0.2.1", send},
	} {
		if got := l.take(start.Add(step.after), netip.MustParseAddr(step.from)); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
	unlimited := newLimiter(0)
	for range 10 {
		if unlimited.take(start, netip.MustParseAddr("192.0.2.1")) != send {
			t.Fatal("it is limited")
		}
	}
}

func TestLimiterIsBounded(t *testing.T) {
	t.Parallel()
	l := newLimiter(1)
	now := time.Unix(1000, 0)
	at := netip.MustParseAddr("10.0.0.0").As4()
	for i := range maxClients {
		at[0], at[1], at[2] = byte(10+i>>16), byte(i>>8), byte(i)
		if l.take(now, netip.AddrFrom4(at)) != send {
			t.Fatal("the first response is not sent")
		}
	}
	if len(l.counts) != maxClients {
		t.Errorf("%d are counted", len(l.counts))
	}
	if l.take(now, netip.MustParseAddr("10.0.0.1")) == send {
		t.Error("what is counted is not limited any more")
	}
	sent := 0
	for range 1000 { // one more is limited as all others are, with those that share its count
		if l.take(now, netip.MustParseAddr("203.0.113.4")) == send {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("%d responses to a network beyond the bound", sent)
	}
	if l.take(now.Add(time.Second), netip.MustParseAddr("203.0.113.4")) != send {
		t.Error("a second later it is still limited")
	}
}

func TestConnTable(t *testing.T) {
	t.Parallel()
	of := func(text string) netip.Prefix { return source.OfText(text + ":1") }
	table := newTable[int](4, 2)
	for i, step := range []struct {
		from   string
		victim int // 0: none
	}{
		{"192.0.2.1", 0}, {"192.0.2.1", 0}, // 1, 2
		{"192.0.2.1", 1},                   // 3: the client has its share
		{"192.0.2.2", 0}, {"192.0.2.3", 0}, // 4, 5
		{"192.0.2.4", 2}, // 6: full; 192.0.2.1 has the most
	} {
		victim, lost := table.add(of(step.from), i+1)
		if victim != step.victim || lost != (step.victim != 0) {
			t.Errorf("connection %d: victim %d, want %d", i+1, victim, step.victim)
		}
	}
	table.remove(of("192.0.2.1"), 1) // it has lost its place already
	if table.len() != 4 || !slices.Equal(table.clients[of("192.0.2.1")], []int{3}) {
		t.Errorf("%d are left, %v", table.len(), table.clients)
	}
	for i, from := range map[int]string{3: "192.0.2.1", 4: "192.0.2.2", 5: "192.0.2.3", 6: "192.0.2.4"} {
		table.remove(of(from), i)
	}
	if table.len() != 0 || len(table.clients) != 0 {
		t.Errorf("%d are left, %v", table.len(), table.clients)
	}
}
