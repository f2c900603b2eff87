package balance

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/status"
)

// target is the one at an address, to be put into a state.
func (tw *town) target(a Address) *target {
	return tw.table.group(Key{Service: echoName, Port: servicePort}).targets[a]
}

// explain has the rows of the prediction by address.
func (tw *town) explain(t *testing.T, q Query) map[string]status.Choice {
	t.Helper()
	q.Key = Key{Service: echoName, Port: servicePort}
	e, ok := tw.table.Explain(q)
	if !ok {
		t.Fatal("no such service")
	}
	rows, sum := make(map[string]status.Choice), 0.0
	for i := range e.Candidates {
		rows[e.Candidates[i].Address] = e.Candidates[i]
		sum += e.Candidates[i].Share
	}
	if math.Abs(sum-100) > 1e-6 && len(tw.table.Candidates(q.Key, q.Caller)) > 0 {
		t.Errorf("the shares add up to %v", sum)
	}
	return rows
}

// predicted compares a prediction with 10,000 calls, of which only ROUND_ROBIN remembers anything.
func (tw *town) predicted(t *testing.T, q Query) map[string]status.Choice {
	t.Helper()
	const n, tolerance = 10_000, 2.0
	rows, got := tw.explain(t, q), make(map[string]int)
	if len(tw.table.Candidates(Key{Service: echoName, Port: servicePort}, q.Caller)) == 0 {
		return rows
	}
	for i := range n {
		caller := q.Caller
		if q.AnyKey {
			caller.Affinity = Affinity(fmt.Sprint(i))
		}
		first := tw.table.Candidates(Key{Service: echoName, Port: servicePort}, caller)[0]
		if first.turn.counts {
			first.Begin().Done(Outcome{})
		}
		got[first.String()]++
	}
	for a, row := range rows {
		if happened := 100 * float64(got[a]) / n; math.Abs(row.Share-happened) > tolerance {
			t.Errorf("%s has %.2f %% of the calls, predicted were %.2f %%: %s", a, happened, row.Share, row.Rule)
		}
		if row.Share == 0 && got[a] > 0 {
			t.Errorf("%s has %d calls, none were predicted: %s", a, got[a], row.Rule)
		}
	}
	return rows
}

// ramping is a change that brings a target back with that share.
func ramping(share float64) func(*target) {
	return func(t *target) {
		since := (share - rampStart) / (1 - rampStart) * float64(rampTime)
		t.state, t.rampFrom = Ramping, time.Now().Add(-time.Duration(since))
	}
}

func ejectedFor(d time.Duration) func(*target) {
	return func(t *target) { t.state, t.kind, t.until = Ejected, ServerError, time.Now().Add(d) }
}

func busy(n int64) func(*target) { return func(t *target) { t.active.Store(n) } }

func hashedBy(h v1alpha1.ConsistentHash, change ...func(*v1alpha1.LoadBalancer)) *v1alpha1.TrafficPolicySpec {
	lb := &v1alpha1.LoadBalancer{ConsistentHash: &h}
	for _, c := range change {
		c(lb)
	}
	return &v1alpha1.TrafficPolicySpec{LoadBalancer: lb}
}

// explainCase is a town with targets in some state, a call, and what is said of addresses: the share, and a part of the rule.
type explainCase struct {
	policy *v1alpha1.TrafficPolicySpec
	build  func(*town)
	change map[Address]func(*target)
	query  Query
	want   map[string]string
}

// nearCases are those by distance and state.
func nearCases() map[string]explainCase {
	three := func(tw *town) { tw.local(here, 3) }
	zones := func(tw *town) { tw.local(here, 2).local(beside, 1).peer("near", here).peer("far", abroad) }
	panicking := outlier(1, time.Minute, 100)
	panicking.OutlierDetection.MinHealthPercent = new(int32(90))
	return map[string]explainCase{
		"zones": {build: zones, want: map[string]string{
			"10.0.0.0:80": "50 own zone", "10.0.0.2:80": "0 failover: own region after own zone",
			"near": "0 failover: peer in own zone after own zone", "far": "0 failover: peer in region ap-northeast-1 after own zone",
		}},
		"the own zone is ejected": {build: zones, change: map[Address]func(*target){
			localKey(0): ejectedFor(12 * time.Second), localKey(1): ejectedFor(time.Second),
		}, want: map[string]string{
			"10.0.0.0:80": "0 ejected: consecutive_5xx, 12s left", "10.0.0.2:80": "100 failover: own region, nothing nearer serves",
		}},
		"all are ejected": {build: three, change: map[Address]func(*target){
			localKey(0): ejectedFor(1), localKey(1): ejectedFor(1), localKey(2): ejectedFor(1),
		}, want: map[string]string{"10.0.0.0:80": "33 last resort: nothing else is left; ejected: consecutive_5xx"}},
		"panic": {policy: panicking, build: three, change: map[Address]func(*target){
			localKey(0): func(t *target) { t.group.eject(t, LocalFailure) },
		}, want: map[string]string{"10.0.0.0:80": "33 own zone; ejected, but fewer than minHealthPercent 90 are left: all are used"}},
		"failover by policy": {
			policy: &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{LocalityLbSetting: &v1alpha1.LocalityLbSetting{
				Failover: []v1alpha1.LocalityFailover{{From: "cn-hangzhou", To: "cn-shanghai"}},
			}}},
			build: func(tw *town) { tw.peer("far", abroad).peer("west", shanghai) },
			want: map[string]string{
				"west": "100 failover: peer in region cn-shanghai (policy's failover), nothing nearer serves", "far": "0 failover",
			},
		},
		"priority": {
			policy: &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{LocalityLbSetting: &v1alpha1.LocalityLbSetting{
				FailoverPriority: []string{v1alpha1.PriorityRegion, v1alpha1.PriorityZone},
			}}},
			build: zones, want: map[string]string{
				"near": "33 failoverPriority: 2 of 2 labels match", "10.0.0.2:80": "0 failover: failoverPriority: 1 of 2 labels match after",
			},
		},
		"terminating": {build: func(tw *town) {
			tw.local(here, 1).peer("far", abroad)
			tw.svc.Endpoints[servicePort][0].Ready, tw.svc.Endpoints[servicePort][0].Terminating = false, true
		}, want: map[string]string{"10.0.0.0:80": "0 terminating: after all that are ready", "far": "100 failover"}},
		"not ready": {build: func(tw *town) {
			three(tw)
			tw.svc.Endpoints[servicePort][1].Ready = false
		}, want: map[string]string{"10.0.0.1:80": "0 not ready", "10.0.0.0:80": "50"}},
		"held back": {build: three, change: map[Address]func(*target){
			localKey(0): func(t *target) { t.heldUntil = time.Now().Add(time.Second) },
		}, want: map[string]string{"10.0.0.0:80": "0 held back by its Retry-After"}},
		"nothing": {build: func(*town) {}},
		"a peer without consent": {build: func(tw *town) {
			tw.local(here, 1).peer("far", abroad)
			tw.svc.Unused = []string{"west"}
		}, want: map[string]string{
			"10.0.0.0:80": "100 own zone", "far": "0 failover",
			"west": "0 consent: this cluster's Service is not shared with the peer; if it may, give the Service a ServiceExport",
		}},
	}
}

// choiceCases are those of the choice among equals.
func choiceCases() map[string]explainCase {
	far, near := Address{Peer: "far"}, Address{Peer: "near"}
	three := func(tw *town) { tw.local(here, 3) }
	off := everywhere("ROUND_ROBIN")
	return map[string]explainCase{
		"two choices": {build: three, change: map[Address]func(*target){localKey(0): busy(2), localKey(1): busy(5)}, want: map[string]string{
			"10.0.0.0:80": "33 own zone", "10.0.0.1:80": "0 own zone; more load than all others there", "10.0.0.2:80": "67 own zone",
		}},
		"two choices, one connection more": {
			build: three, change: map[Address]func(*target){localKey(0): busy(1), localKey(1): busy(5)},
			want: map[string]string{"10.0.0.0:80": "50 own zone", "10.0.0.1:80": "0 own zone; more load", "10.0.0.2:80": "50 own zone"},
		},
		"two choices, equals and peers with several": {
			policy: everywhere(""), build: func(tw *town) { tw.local(here, 2).peer("far", abroad, abroad, abroad).peer("near", here, here) },
			change: map[Address]func(*target){far: busy(3), near: busy(4)},
			want:   map[string]string{"near": "5 localityLbSetting is off", "far": "43", "10.0.0.0:80": "26"},
		},
		"refusals": {build: three, change: map[Address]func(*target){
			localKey(0): func(t *target) { t.refusals = refusals{share: 0.5, at: time.Now()} },
		}, want: map[string]string{"10.0.0.0:80": "0 own zone; more load", "10.0.0.1:80": "50"}},
		"random": {
			policy: everywhere("RANDOM"), build: func(tw *town) { tw.local(here, 1).peer("far", abroad, abroad, abroad) },
			want: map[string]string{"10.0.0.0:80": "25", "far": "75"},
		},
		"rounds": {policy: off, build: func(tw *town) { tw.local(here, 2).peer("far", abroad, abroad) }, want: map[string]string{
			"10.0.0.0:80": "25", "far": "50",
		}},
	}
}

// weightCases are those with weights of localities.
func weightCases() map[string]explainCase {
	weights := distribute(map[string]uint32{"cn-hangzhou": 80, "cn-shanghai": 20})
	weighted := func(tw *town) { tw.local(here, 2).peer("west", shanghai, shanghai2).peer("far", abroad) }
	return map[string]explainCase{
		"rounds in two localities": {
			policy: distribute(map[string]uint32{"cn-hangzhou": 60, "cn-shanghai": 40}, func(*v1alpha1.LocalityLbSetting) {}),
			build:  func(tw *town) { tw.local(here, 1).peer("both", here, shanghai) },
			want:   map[string]string{"10.0.0.0:80": "30 distribute 60 %", "both": "70 distribute 100 %"},
		},
		"weights": {policy: weights, build: weighted, want: map[string]string{
			"10.0.0.0:80": "40 distribute 80 %", "west": "20 distribute 20 %",
			"far": "0 failover: peer in region ap-northeast-1 (no weight) after distribute",
		}},
		"weights, one locality is ejected": {
			policy: weights, build: weighted, change: map[Address]func(*target){{Peer: "west"}: ejectedFor(time.Second)},
			want: map[string]string{"10.0.0.0:80": "50 distribute 80 %", "west": "0 ejected"},
		},
		"weights, all are ejected": {
			policy: weights, build: weighted,
			change: map[Address]func(*target){{Peer: "west"}: ejectedFor(1), localKey(0): ejectedFor(1), localKey(1): ejectedFor(1)},
			want:   map[string]string{"far": "100 failover: peer in region ap-northeast-1 (no weight), nothing nearer serves"},
		},
		"weights, ramping": {
			policy: weights, build: weighted, change: map[Address]func(*target){localKey(0): ramping(0.5), {Peer: "west"}: ramping(0.3)},
			want: map[string]string{"far": "0"},
		},
	}
}

// rampCases are those with endpoints that get less than their full share.
func rampCases() map[string]explainCase {
	three := func(tw *town) { tw.local(here, 3) }
	off := everywhere("ROUND_ROBIN")
	return map[string]explainCase{
		"rounds, one ramps up": {policy: off, build: three, change: map[Address]func(*target){localKey(0): ramping(0.2)}, want: map[string]string{
			"10.0.0.0:80": "20 localityLbSetting is off: all are equal; ramping up: 20 % of its full share",
		}},
		"one ramps up": {build: func(tw *town) { tw.local(here, 1).peer("far", abroad) }, change: map[Address]func(*target){
			localKey(0): ramping(0.25),
		}, want: map[string]string{
			"10.0.0.0:80": "25 own zone; ramping up: 25 % of its full share",
			"far":         "75 failover: peer in region ap-northeast-1 while own zone ramps up",
		}},
		"many ramp up": {
			build: func(tw *town) { tw.local(here, 14).peer("far", abroad) }, change: rampingAll(14, 0.1),
			want: map[string]string{"far": "23 failover: peer in region ap-northeast-1 while own zone ramps up"},
		},
		"warmup": {
			policy: &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{Warmup: &v1alpha1.Warmup{
				Duration: metav1.Duration{Duration: time.Minute},
			}}},
			build: three, change: map[Address]func(*target){localKey(1): func(t *target) { t.readyAt = time.Now().Add(-30 * time.Second) }},
			want: map[string]string{"10.0.0.1:80": "17 own zone; ramping up: 50 % of its full share"},
		},
	}
}

// keyCases are those with keys.
func keyCases() map[string]explainCase {
	weights := distribute(map[string]uint32{"cn-hangzhou": 80, "cn-shanghai": 20})
	three := func(tw *town) { tw.local(here, 3) }
	weighted := func(tw *town) { tw.local(here, 2).peer("west", shanghai, shanghai2).peer("far", abroad) }
	header := hashedBy(v1alpha1.ConsistentHash{HTTPHeaderName: "X-User"})
	return map[string]explainCase{
		"a header": {policy: header, build: three, query: Query{Caller: Caller{HTTP: true, Affinity: Affinity("f")}}, want: map[string]string{
			"10.0.0.0:80": "0 own zone; consistentHash by header X-User: hashed to another one",
			"10.0.0.1:80": "100 own zone; consistentHash by header X-User: hashed to this one",
		}},
		"a header, weights": {
			policy: hashedBy(v1alpha1.ConsistentHash{HTTPHeaderName: "X-User"}, func(lb *v1alpha1.LoadBalancer) {
				lb.LocalityLbSetting = weights.LoadBalancer.LocalityLbSetting
			}),
			build: weighted, query: Query{Caller: Caller{HTTP: true, Affinity: Affinity("c")}}, want: map[string]string{"far": "0"},
		},
		"any cookie": {
			policy: hashedBy(v1alpha1.ConsistentHash{HTTPCookie: &v1alpha1.HTTPCookie{Name: "c", TTL: new(metav1.Duration)}}),
			build:  three, change: map[Address]func(*target){localKey(0): ramping(0.3)}, query: Query{AnyKey: true},
			want: map[string]string{"10.0.0.0:80": "33 own zone"},
		},
		"an address": {policy: hashedBy(v1alpha1.ConsistentHash{UseSourceIP: true}), build: three, query: Query{
			Caller: Caller{Address: "10.0.0.9:1"},
		}, want: map[string]string{
			"10.0.0.0:80": "100 own zone; the caller's address: hashed to this one",
			"10.0.0.1:80": "0 own zone; the caller's address: hashed to another one",
		}},
	}
}

func rampingAll(n int, share float64) map[Address]func(*target) {
	out := make(map[Address]func(*target))
	for i := range n {
		out[localKey(i)] = ramping(share)
	}
	return out
}

// What is predicted is what happens, and each row has the rule that decides.
func TestExplain(t *testing.T) {
	t.Parallel()
	cases := make(map[string]explainCase)
	for _, some := range []func() map[string]explainCase{
		nearCases, choiceCases, weightCases, rampCases, keyCases, scopeCases, healthCases, roomCases,
	} {
		maps.Copy(cases, some())
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // time stands still
				tw := newTown(tt.policy)
				tt.build(tw)
				tw.apply()
				for a, change := range tt.change {
					change(tw.target(a))
				}
				tt.query.Caller.Cluster, tt.query.Caller.Locality = "here", here
				rows := tw.predicted(t, tt.query)
				for a, want := range tt.want {
					share, rule, _ := strings.Cut(want, " ")
					if got := fmt.Sprintf("%.0f", rows[a].Share); got != share || !strings.HasPrefix(rows[a].Rule, rule) {
						t.Errorf("%s: %s %s, want %s", a, got, rows[a].Rule, want)
					}
				}
			})
		})
	}
}
