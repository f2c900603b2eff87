package takeover

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestVitals(t *testing.T) {
	t.Parallel()
	results := map[rune]string{'o': resultOK, 't': resultTimeout, 'p': resultPaused, 'e': resultError, 'i': resultInvalid}
	fatal := int(suspectLife / time.Second) // timeouts in a row: each takes a second here
	for _, tt := range []struct {
		name   string
		probes string // one second each
		want   State
	}{
		{"the first answer", "o", Alive},
		{"never answered", "t", Suspect},
		{"refuses from the start", "e", Dead},
		{"one timeout", "ot", Suspect},
		{"timeouts", "o" + strings.Repeat("t", fatal-1), Suspect},
		{"timeouts for too long", "o" + strings.Repeat("t", fatal), Silent},
		{"timeouts for ever", "o" + strings.Repeat("t", 20*fatal), Silent},
		{"silent, then it refuses", "o" + strings.Repeat("t", fatal) + "e", Dead},
		{"one answer of a silent one", "o" + strings.Repeat("t", fatal) + "o", Silent},
		{"two answers of a silent one", "o" + strings.Repeat("t", fatal) + "oo", Alive},
		{"refuses", "oe", Dead},
		{"something else answers", "oi", Dead},
		{"refuses while suspect", "ote", Dead},
		{"timeouts when dead", "oe" + strings.Repeat("t", fatal), Dead},
		{"one answer may be chance", "oto", Suspect},
		{"two answers", "otoo", Alive},
		{"one answer when dead", "oeo", Dead},
		{"two answers when dead", "oeoo", Alive},
		{"an answer between timeouts", "o" + strings.Repeat("t", fatal-1) + "ot", Suspect},
		{"the agent's pauses", "o" + strings.Repeat("p", maxPauses), Alive},
		{"too many pauses", "o" + strings.Repeat("p", maxPauses+1), Suspect},
		{"pauses for ever", "o" + strings.Repeat("p", 20*(maxPauses+1)), Suspect},
		{"an answer between pauses", "o" + strings.Repeat("p", maxPauses) + "o" + strings.Repeat("p", maxPauses), Alive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var v vitals
			now := time.Unix(1000, 0)
			for _, p := range tt.probes {
				o := outcome{result: results[p], began: now, ended: now.Add(time.Second)}
				now = o.ended
				if o.result == resultOK {
					r := proxyReport(true, map[uint16]string{20000: "shop"})
					o.report = &r
				}
				if shows := v.observe(&o); shows == (p == 'p' && v.pauses > 0) {
					t.Errorf("observe(%c) = %v after %d pauses", p, shows, v.pauses)
				}
			}
			if v.State != tt.want {
				t.Errorf("state = %v, want %v", v.State, tt.want)
			}
			if strings.ContainsRune(tt.probes, 'o') && tt.probes[0] == 'o' && v.Report.Listeners[20000] == "" {
				t.Error("the last report is lost")
			}
		})
	}
}

// Two probes that time out are not the five that make a proxy dead, if the agent itself stood still between them or during
// one: its own pause is not the proxy's silence.
func TestOwnPauseIsNoSilence(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	r := proxyReport(true, map[uint16]string{20000: "shop"})
	probe := func(v *vitals, result string, takes time.Duration) {
		o := outcome{result: result, began: now, ended: now.Add(takes)}
		if result == resultOK {
			o.report = &r
		}
		v.observe(&o)
		now = o.ended
	}
	var between, during vitals
	probe(&between, resultOK, time.Millisecond)
	probe(&between, resultTimeout, probeTimeout)
	now = now.Add(3 * time.Second) // the agent gets no CPU, or its machine is suspended
	probe(&between, resultTimeout, probeTimeout)
	if between.State != Suspect {
		t.Errorf("two timeouts with the agent's pause between them: state %v, want suspect", between.State)
	}
	probe(&during, resultOK, time.Millisecond)
	probe(&during, resultTimeout, probeTimeout)
	probe(&during, resultPaused, 3*time.Second)
	probe(&during, resultTimeout, probeTimeout)
	if during.State != Suspect {
		t.Errorf("two timeouts with a paused probe between them: state %v, want suspect", during.State)
	}
}

// A suspect proxy gets calls, so what it answers counts at once: its port may have become another service's.
func TestReportOfASuspectIsUsed(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	before := proxyReport(true, map[uint16]string{20000: "a"})
	after := proxyReport(true, map[uint16]string{20000: "b"})
	var v vitals
	for i, p := range []*Report{&before, nil, &after, nil, &after, nil, &after} {
		o := outcome{result: resultTimeout, report: p, began: now, ended: now.Add(probeTimeout)}
		if p != nil {
			o.result = resultOK
		}
		v.observe(&o)
		now = o.ended.Add(100 * time.Millisecond)
		if i >= 2 && v.State != Dead && v.Report.Listeners[20000] != "default/b" {
			t.Errorf("after probe %d, state %v: calls of default/a still go to port 20000, which is %s's now", i, v.State, "default/b")
		}
	}
}

func TestConclusive(t *testing.T) {
	t.Parallel()
	a, b := addr("10.0.0.1"), addr("10.0.0.2")
	for _, tt := range []struct {
		name    string
		states  map[netip.Addr]State
		proxies int
		want    bool
	}{
		{"no proxies", nil, 0, true},
		{"one not probed", map[netip.Addr]State{a: Alive}, 2, false},
		{"all alive", map[netip.Addr]State{a: Alive, b: Alive}, 2, true},
		{"all dead", map[netip.Addr]State{a: Dead, b: Dead}, 2, true},
		{"one suspect", map[netip.Addr]State{a: Alive, b: Suspect}, 2, true},
		{"one suspect, none alive", map[netip.Addr]State{a: Dead, b: Suspect}, 2, false},
		{"one silent", map[netip.Addr]State{a: Dead, b: Silent}, 2, true},
	} {
		health := map[netip.Addr]Health{}
		for address, state := range tt.states {
			health[address] = Health{State: state}
		}
		if got := conclusive(health, tt.proxies); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	answered := map[netip.Addr]Health{a: {State: Suspect, Report: proxyReport(true, map[uint16]string{20000: "shop"})}}
	if !conclusive(answered, 1) {
		t.Error("a suspect that has answered is not enough")
	}
}
