package balance

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/bubble"
)

// heard are a group's events.
type heard struct {
	probes []*target
	turns  int
}

func (h *heard) ejected(*target, Failure, time.Duration, bool) {}
func (h *heard) returned(*target)                              {}
func (h *heard) sweepAt(*group)                                {}
func (h *heard) probeNow(t *target)                            { h.probes = append(h.probes, t) }
func (h *heard) turned(*group)                                 { h.turns++ }

// TestVacancy: each row is what happens to the targets a and b, and whether the port is vacant in the end.
//
//	a-  a did not take a connection, nor another one after missedFor
//	a^  it did not take one             a+  it took one
//	a!  its probe failed                a=  its probe passed      a?  its probe could not be made
//	up  a becomes ready again           ~   time for the next probes
func TestVacancy(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		events string
		vacant bool
		probes int // requested
		turns  int
	}{
		"one is left":             {"a- a- a-", false, 0, 0},
		"none took any":           {"a- b-", false, 2, 0},
		"at the same moment":      {"a^ b^ a^ b^", false, 0, 0},
		"one probe is under way":  {"a- b- a!", false, 2, 0},
		"all probes failed":       {"a- b- a! b!", true, 2, 1},
		"one probe passed":        {"a- b- a! b=", false, 2, 0},
		"one took a connection":   {"a- b- a! b+", false, 2, 0},
		"not all could be probed": {"a- b- a! b?", false, 2, 0},
		"probed later":            {"a- b- a= ~ a-", false, 4, 0},
		"probed again":            {"a- b- a! b! ~", true, 4, 1},
		"back":                    {"a- b- a! b! ~ b=", false, 4, 2},
		"not back yet":            {"a- b- a! b! ~ b! a?", true, 4, 1},
		"a call finds it":         {"a- b- a! b! a+", false, 2, 2},
		"ready again":             {"a- b- a! b! up", false, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { vacancyOf(t, row.events, row.vacant, row.probes, row.turns) })
		})
	}
}

func vacancyOf(t *testing.T, events string, vacant bool, probes, turns int) {
	t.Helper()
	addresses := map[string]netip.AddrPort{"a": netip.MustParseAddrPort("10.0.0.1:80"), "b": netip.MustParseAddrPort("10.0.0.2:80")}
	h := &heard{}
	g := newGroup(Key{Port: 80}, policyOf("here", &discovery.Service{}, 80), h, func() int { return 1 })
	apply := func(ready bool) {
		g.apply("here", &discovery.Service{Endpoints: map[uint16][]discovery.Endpoint{80: {
			{Address: addresses["a"], Ready: ready}, {Address: addresses["b"], Ready: true},
		}}}, g.policyNow())
	}
	apply(true)
	for event := range strings.FieldsSeq(events) {
		at := g.targets[Address{Endpoint: addresses[event[:1]]}]
		switch event[len(event)-1] {
		case '^':
			g.untaken(at)
		case '-':
			g.untaken(at)
			bubble.Pass(missedFor)
			g.untaken(at)
		case '+':
			g.connected(at)
		case '!':
			g.probed(at, false, false)
		case '=':
			g.probed(at, true, false)
		case '?':
			g.probed(at, false, true)
		case '~':
			bubble.Pass(vacantProbe)
			due, _ := g.sweep(time.Now())
			h.probes = append(h.probes, due...)
		default:
			apply(false)
			apply(true)
		}
	}
	if g.isVacant() != vacant || len(h.probes) != probes || h.turns != turns {
		t.Errorf("vacant %t, %d probes, turned %d times", g.isVacant(), len(h.probes), h.turns)
	}
}
