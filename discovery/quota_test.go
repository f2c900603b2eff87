package discovery

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
)

// fitting is what admission keeps, the plain way.
func fitting(quota Amount, all map[ServiceName]*PeerExport) (used Amount, names []ServiceName) {
	for _, n := range slices.SortedFunc(maps.Keys(all), ServiceName.Compare) {
		with := used.plus(amountOf(all[n]))
		if with.beyond(quota) != "" {
			break
		}
		used, names = with, append(names, n)
	}
	return used, names
}

// Whatever came before, the exports that are admitted are the first by name that fit; a change moves those only that it has to.
func TestAdmission(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	a, all := newAdmission(Amount{}), map[ServiceName]*PeerExport{}
	admitted := func() (names []ServiceName) {
		for n := range all {
			if a.admits(n) {
				names = append(names, n)
			}
		}
		slices.SortFunc(names, ServiceName.Compare)
		return names
	}
	for step := range 3_000 {
		before := admitted()
		if step%100 == 0 {
			a.quota = Amount{random.IntN(40), random.IntN(200), random.IntN(60)}
		}
		moved := map[ServiceName]struct{}{}
		for range random.IntN(4) {
			n := ServiceName{"n", fmt.Sprint(random.IntN(60))}
			moved[n] = struct{}{}
			if random.IntN(3) == 0 {
				delete(all, n)
			} else {
				all[n] = &PeerExport{
					Ports: make([]ServicePort, random.IntN(8)), Pods: make([]Pod, random.IntN(4)), Spec: ServiceSpec{Headless: random.IntN(2) == 0},
				}
			}
			a.set(n, all[n])
		}
		changed := maps.Clone(moved)
		a.settle(moved)
		used, want := fitting(a.quota, all)
		after := admitted()
		if !slices.Equal(after, want) || a.used != used || a.over != (len(want) < len(all)) {
			t.Fatalf("step %d: %v are admitted, want %v; %+v are used, want %+v", step, after, want, a.used, used)
		}
		for n := range moved {
			_, ours := changed[n]
			if !ours && slices.Contains(before, n) == slices.Contains(after, n) {
				t.Errorf("step %d: %v is looked at again, without need", step, n)
			}
		}
		for _, n := range slices.Concat(before, after) {
			if _, ok := moved[n]; !ok && slices.Contains(before, n) != slices.Contains(after, n) {
				t.Errorf("step %d: %v is not looked at", step, n)
			}
		}
	}
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	two := make([]ServicePort, 2)
	for name, tt := range map[string]struct {
		export PeerExport
		want   Amount
	}{
		"ports":                  {PeerExport{Ports: two}, Amount{1, 2, 0}},
		"headless":               {PeerExport{Ports: two, Pods: make([]Pod, 3), Spec: ServiceSpec{Headless: true}}, Amount{1, 6, 3}},
		"headless without pods":  {PeerExport{Ports: two, Spec: ServiceSpec{Headless: true}}, Amount{1, 2, 0}},
		"pods that do not count": {PeerExport{Ports: two, Pods: make([]Pod, 3)}, Amount{1, 2, 0}},
	} {
		if got := amountOf(&tt.export); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		a    Amount
		want string
	}{{Amount{5, 6, 7}, ""}, {Amount{6, 6, 7}, "services"}, {Amount{5, 7, 7}, "ports"}, {Amount{0, 0, 8}, "pods"}} {
		if got := tt.a.beyond(Amount{5, 6, 7}); got != tt.want {
			t.Errorf("%+v is beyond the quota in %q, want %q", tt.a, got, tt.want)
		}
	}
}

// names of services, in order.
func names(namespace string, n int) []ServiceName {
	out := make([]ServiceName, n)
	for i := range out {
		out[i] = ServiceName{namespace, fmt.Sprintf("s-%05d", i)}
	}
	return out
}

// of counts the services that the snapshot has of a peer, and the ports of all its services.
func of(s *Snapshot, peer string) (services, ports int) {
	for _, svc := range s.Services.All() {
		ports += len(svc.Ports)
		if slices.ContainsFunc(svc.Peers, func(e PeerExport) bool { return e.Peer == peer }) {
			services++
		}
	}
	return services, ports
}

// A peer that announces all that it can takes no more than its quota; another one's services, and those of the own cluster, stay.
func TestHostileQuantities(t *testing.T) {
	t.Parallel()
	many := func(ports, pods int) func(*Update) {
		return func(u *Update) {
			for n, m := range u.Exports {
				m.Ports = nil
				for i := range ports {
					m.Ports = append(m.Ports, ServicePort{Port: uint16(80 + i), Protocol: TCP})
				}
				m.Spec.Headless = pods > 0
				u.Exports[n] = m
				e := u.Readiness[n]
				for i := range pods {
					e.Pods = append(e.Pods, Pod{Hostname: fmt.Sprintf("p-%03d", i)})
				}
				u.Readiness[n] = e
			}
		}
	}
	for name, tt := range map[string]struct {
		services int
		change   func(*Update)
		quota    *v1alpha1.ImportQuota
		want     int
		field    string
	}{
		"services":            {MaxServices, many(1, 0), nil, 500, "services"},
		"ports":               {40, many(MaxPorts, 0), nil, 7, "ports"},
		"pods":                {40, many(1, maxPods), nil, 2, "pods"},
		"ports of pods":       {40, many(10, 150), nil, 1, "ports"},
		"a quota of its own":  {MaxServices, many(1, 0), &v1alpha1.ImportQuota{Services: 2_500}, 2_000, "ports"},
		"one that is too big": {40, many(MaxPorts, 0), &v1alpha1.ImportQuota{Ports: 255}, 0, "ports"},
		"within":              {500, many(4, 0), nil, 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := NewCatalog(nil)
			mine := ServiceName{"a", "mine"}
			l := localWith([]string{"evil", "good"}, mine)
			l.Peers["evil"].Spec.Quota = tt.quota
			c.SetLocal(l)
			must(t, c.UpdateRemote(ReplicaID{"good", "g"}, updateOf(1, 0, 1, 1, names("x", 500)...)))
			u := updateOf(1, 0, 1, 1, names("b", tt.services)...)
			tt.change(&u)
			must(t, c.UpdateRemote(ReplicaID{"evil", "e"}, u))
			s := c.Snapshot()
			evil, ports := of(s, "evil")
			if good, _ := of(s, "good"); good != 500 || s.Services.Get(mine) == nil || s.Excess["good"] != nil {
				t.Errorf("%d services of the other peer, own %v, %+v", good, s.Services.Get(mine), s.Excess["good"])
			}
			if evil != tt.want || ports > 501+v1alpha1.DefaultQuotaPorts {
				t.Errorf("%d services of the peer, want %d; %d ports of all", evil, tt.want, ports)
			}
			x := s.Excess["evil"]
			if tt.field == "" {
				if x != nil || len(s.Problems()) > 0 {
					t.Errorf("%+v", x)
				}
				return
			}
			if x == nil || x.Field != tt.field || x.LeftOut() != tt.services-tt.want || x.First != names("b", tt.services)[tt.want] {
				t.Fatalf("%+v", x)
			}
			if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0], "raise spec.quota."+tt.field+" of Peer evil") {
				t.Errorf("%q", p)
			}
		})
	}
}

// The quota and the rules of a Peer hold at once, and what they leave out depends on nothing that was before.
func TestQuotaChanges(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	set := func(quota int32, rules *v1alpha1.ImportRules) {
		l := localWith([]string{"b"})
		l.Peers["b"].Spec.Imports = rules
		if quota > 0 {
			l.Peers["b"].Spec.Quota = &v1alpha1.ImportQuota{Services: quota}
		}
		c.SetLocal(l)
	}
	set(3, nil)
	b1, b2 := ReplicaID{"b", "b1"}, ReplicaID{"b", "b2"}
	all := append(names("n", 5), names("o", 2)...)
	must(t, c.UpdateRemote(b1, updateOf(1, 0, 1, 1, all...)))
	imported := func() string {
		out := []string{}
		for n := range c.Snapshot().Services.All() {
			out = append(out, strings.Replace(n.String(), "s-0000", "", 1))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"at first", func() {}, "n/0 n/1 n/2"},
		{"more quota", func() { set(4, nil) }, "n/0 n/1 n/2 n/3"},
		{"less", func() { set(1, nil) }, "n/0"},
		{"the default", func() { set(0, nil) }, "n/0 n/1 n/2 n/3 n/4 o/0 o/1"},
		{"rules", func() { set(3, &v1alpha1.ImportRules{Deny: []string{"n/s-00000", "n/s-00002"}}) }, "n/1 n/3 n/4"},
		{"other rules", func() { set(3, &v1alpha1.ImportRules{Deny: []string{"n/*"}}) }, "o/0 o/1"},
		{"none", func() { set(3, nil) }, "n/0 n/1 n/2"},
		{"one is withdrawn", func() {
			must(t, c.UpdateRemote(b1, Update{Epoch: 1, Base: 1, Revision: 2, Withdrawn: all[1:2]}))
		}, "n/0 n/2 n/3"},
		{"a later name comes", func() { must(t, c.UpdateRemote(b1, updateOf(1, 2, 3, 1, names("z", 1)...))) }, "n/0 n/2 n/3"},
		{"a newer replica", func() { must(t, c.UpdateRemote(b2, updateOf(2, 0, 1, 1, all...))) }, "n/0 n/1 n/2"},
		{"it leaves", func() { c.ForgetReplica(b2) }, "n/0 n/2 n/3"},
		{"the Peer is made again", func() {
			c.SetLocal(localWith(nil))
			set(2, nil)
			must(t, c.UpdateRemote(b1, updateOf(1, 0, 1, 1, all...)))
		}, "n/0 n/1"},
	} {
		step.do()
		if got := imported(); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

func TestExcessIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, log := observer.New(zap.WarnLevel)
		c := NewCatalog(nil)
		x, err := NewExchange(ExchangeConfig{Cluster: "a", Catalog: c, Log: zap.New(core)})
		must(t, err)
		c.SetLocal(localWith([]string{"b"}))
		s := &session{exchange: x, link: ReplicaID{"b", "r"}}
		x.enter(s)
		for i := range uint64(100) { // 100 s
			must(t, x.update(s, updateOf(1, 0, i+1, uint32(i), names("n", 501)...)))
			bubble.Pass(time.Second)
		}
		lines := log.All()
		if len(lines) != 2 {
			t.Fatalf("%d lines in 100 s: %v", len(lines), lines)
		}
		if f := lines[0].ContextMap(); f["left_out"] != int64(1) || f["limit"] != int64(500) || f["remedy"] == "" {
			t.Errorf("%v", f)
		}
	})
}
