package httpserve

import (
	"net/netip"
	"testing"
	"time"
)

func TestTableChoosesWhoMakesRoom(t *testing.T) {
	t.Parallel()
	type held struct {
		source string
		busy   bool
		age    int // seconds
	}
	tests := []struct {
		name   string
		held   []held // of a table of four
		victim int    // index into held; -1: none
	}{
		{"room", []held{{"10.0.0.1", false, 9}, {"10.0.0.1", false, 8}, {"10.0.0.1", false, 7}}, -1},
		{"the source with the most", []held{{"10.0.0.1", false, 9}, {"10.0.0.2", false, 3}, {"10.0.0.2", false, 4}, {"10.0.0.3", false, 8}}, 2},
		{"idle before busy", []held{{"10.0.0.2", true, 9}, {"10.0.0.2", false, 3}, {"10.0.0.2", true, 8}, {"10.0.0.3", false, 9}}, 1},
		{"served longest", []held{{"10.0.0.2", true, 3}, {"10.0.0.2", true, 8}, {"10.0.0.3", false, 9}, {"10.0.0.2", true, 5}}, 1},
		{"one each: idle longest", []held{{"10.0.0.1", true, 9}, {"10.0.0.2", false, 3}, {"10.0.0.3", false, 8}, {"10.0.0.4", false, 5}}, 2},
		{"two sources with two", []held{{"10.0.0.1", true, 9}, {"10.0.0.1", true, 3}, {"10.0.0.2", true, 8}, {"10.0.0.2", false, 1}}, 3},
	}
	now := time.Unix(1000, 0)
	from := func(ip string) netip.Prefix { return netip.PrefixFrom(netip.MustParseAddr(ip), 32) }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table := newTable(4)
			var slots []*slot
			for _, h := range tt.held {
				s, victim := table.admit(from(h.source), now.Add(-time.Duration(h.age)*time.Second))
				if victim != nil {
					t.Fatal("the table is not full yet")
				}
				s.busy = h.busy
				slots = append(slots, s)
			}
			added, victim := table.admit(from("10.0.0.9"), now)
			want := (*slot)(nil)
			if tt.victim >= 0 {
				want = slots[tt.victim]
			}
			if victim != want || added == nil {
				t.Errorf("%+v makes room, want %+v", victim, want)
			}
			// It may also close by itself, before or after it lost its place.
			for _, s := range append(slots, added) {
				table.remove(s)
				table.remove(s)
			}
			if len(table.slots) != 0 || len(table.held) != 0 {
				t.Errorf("%d connections, %d sources are left", len(table.slots), len(table.held))
			}
		})
	}
}
