package discovery

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var echo = ServiceName{Namespace: "demo", Name: "echo"}

// localWith is a cluster with peers, all of whose services have one ready endpoint and are exported.
func localWith(peers []string, services ...ServiceName) Local {
	l := Local{Services: hashtrie.Of(map[ServiceName]*Service{}), Peers: map[string]*Peer{}, Localities: hashtrie.Of(map[netip.Addr]Locality{})}
	for _, p := range peers {
		l.Peers[p] = &Peer{Name: p, Spec: v1alpha1.PeerSpec{SPIFFEID: "spiffe://" + p}}
	}
	for _, n := range services {
		l.Services = l.Services.With(n, newService(n, 1))
	}
	return l
}

func newService(n ServiceName, ready int) *Service {
	s := &Service{
		Name: n, Export: &Export{}, Ports: []ServicePort{{Name: "http", Port: 80, Protocol: TCP}},
		Endpoints: map[uint16][]Endpoint{},
	}
	for i := range ready {
		s.Endpoints[80] = append(s.Endpoints[80], Endpoint{
			Address:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 8000),
			Locality: Locality{Region: "r1", Zone: "z1"}, Ready: true,
		})
	}
	return s
}

// updateOf is an update that exports the services on port 80 with that many ready endpoints.
func updateOf(epoch, base, revision uint64, ready uint32, services ...ServiceName) Update {
	u := Update{
		Epoch: epoch, Base: base, Revision: revision, Exports: map[ServiceName]Metadata{},
		Readiness: map[ServiceName]Endpoints{},
	}
	for _, n := range services {
		u.Exports[n] = Metadata{Ports: []ServicePort{{Name: "web", Port: 80, Protocol: TCP}}}
		u.Readiness[n] = Endpoints{Rows: []Readiness{{Locality: Locality{Region: "r2"}, Port: 80, Ready: ready, Total: ready}}}
	}
	return u
}

// ready is what the snapshot knows of the peers' ready endpoints of echo; -1: nothing is exported.
func ready(c *Catalog) int {
	s := c.Snapshot().Services.Get(echo)
	if s == nil || len(s.Peers) == 0 {
		return -1
	}
	n := 0
	for i := range s.Peers {
		p := &s.Peers[i]
		for _, r := range p.Readiness {
			n += int(r.Ready)
		}
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotJoinsClusters(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	if c.Snapshot().Revision != 0 {
		t.Fatal("a catalog without a source must be at revision 0")
	}
	only := ServiceName{Namespace: "demo", Name: "only"}
	local := localWith([]string{"b", "a"}, echo)
	local.Policies = local.Policies.With(only, &v1alpha1.TrafficPolicySpec{TargetRef: v1alpha1.TargetRef{Name: "only"}})
	c.SetLocal(local)
	u := updateOf(1, 0, 1, 2, echo, only)
	u.Exports[echo] = Metadata{Ports: append(u.Exports[echo].Ports, ServicePort{Name: "more", Port: 81, Protocol: TCP})}
	must(t, c.UpdateRemote(ReplicaID{"b", "b1"}, u))
	must(t, c.UpdateRemote(ReplicaID{"a", "a1"}, updateOf(1, 0, 1, 3, echo)))

	s := c.Snapshot().Services.Get(echo)
	if len(s.Ports) != 2 || s.Ports[0].Name != "http" || s.Ports[1].Port != 81 {
		t.Errorf("ports = %+v, want the own name for port 80 and the peer's port 81", s.Ports)
	}
	if len(s.Peers) != 2 || s.Peers[0].Peer != "a" || s.Peers[1].Peer != "b" {
		t.Errorf("exporters = %+v, want a, b", s.Peers)
	}
	if len(s.Endpoints[80]) != 1 {
		t.Errorf("own endpoints = %+v", s.Endpoints)
	}
	o := c.Snapshot().Services.Get(only)
	if o == nil || len(o.Ports) != 1 || o.Export != nil || o.Policy == nil {
		t.Errorf("a service that only a peer exports = %+v", o)
	}
	if len(local.Services.Get(echo).Ports) != 1 {
		t.Error("the source's own service was altered")
	}
}

// A service has its own policy, else its namespace's, else the cluster's; peers' exports too.
func TestDefaultPolicies(t *testing.T) {
	t.Parallel()
	own, far, other := ServiceName{"demo", "own"}, ServiceName{"demo", "far"}, ServiceName{"other", "service"}
	spec := func(name string) *v1alpha1.TrafficPolicySpec {
		return &v1alpha1.TrafficPolicySpec{TargetRef: v1alpha1.TargetRef{Name: name}}
	}
	c := NewCatalog(nil)
	local := localWith([]string{"b"}, own, other)
	set := func(at ServiceName, p *v1alpha1.TrafficPolicySpec) {
		if p == nil {
			local.Policies = local.Policies.Without(at)
		} else {
			local.Policies = local.Policies.With(at, p)
		}
		c.SetLocal(local)
	}
	want := func(policies string) {
		t.Helper()
		var got []string
		for _, n := range []ServiceName{own, far, other} {
			name := "-"
			if s := c.Snapshot().Services.Get(n); s != nil && s.Policy != nil {
				name = s.Policy.TargetRef.Name
			}
			got = append(got, name)
		}
		if got := strings.Join(got, " "); got != policies {
			t.Errorf("policies %s, want %s", got, policies)
		}
	}
	c.SetLocal(local)
	must(t, c.UpdateRemote(ReplicaID{"b", "b1"}, updateOf(1, 0, 1, 1, far)))
	want("- - -")
	set(ServiceName{}, spec("cluster"))
	want("cluster cluster cluster")
	set(ServiceName{Namespace: "demo"}, spec("namespace"))
	want("namespace namespace cluster")
	set(own, spec("own"))
	want("own namespace cluster")
	before := c.Snapshot().Services.Get(other)
	set(ServiceName{Namespace: "demo"}, spec("changed"))
	want("own changed cluster")
	if c.Snapshot().Services.Get(other) != before {
		t.Error("another namespace's service was made again")
	}
	revision := c.Snapshot().Revision
	if set(ServiceName{Namespace: "demo"}, spec("changed")); c.Snapshot().Revision != revision {
		t.Error("an equal policy made a new snapshot")
	}
	set(ServiceName{}, nil)
	want("own changed -")
	set(own, nil)
	set(ServiceName{Namespace: "demo"}, nil)
	want("- - -")
	set(ServiceName{Namespace: "empty"}, spec("empty")) // there is nothing yet
	local.Services = local.Services.With(ServiceName{"empty", "new"}, &Service{Name: ServiceName{"empty", "new"}})
	c.SetLocal(local)
	if s := c.Snapshot().Services.Get(ServiceName{"empty", "new"}); s == nil || s.Policy == nil {
		t.Errorf("a new service has no policy: %+v", s)
	}
}

func TestChangedIsCoalescedAndPrecise(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	changed := c.Changed()
	c.SetLocal(localWith([]string{"b"}, echo))
	c.SetLocal(localWith([]string{"b"}))
	select {
	case <-changed:
	default:
		t.Fatal("not woken")
	}
	changed, before := c.Changed(), c.Snapshot()
	c.SetLocal(localWith([]string{"b"}))
	must(t, c.UpdateRemote(ReplicaID{"b", "b1"}, updateOf(1, 0, 1, 1)))
	select {
	case <-changed:
		t.Error("woken by something that changes nothing")
	default:
	}
	if c.Snapshot() != before {
		t.Error("a new snapshot of the same things")
	}
}

func TestSnapshotsAreImmutable(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	c.SetLocal(localWith([]string{"b"}, echo))
	must(t, c.UpdateRemote(ReplicaID{"b", "b1"}, updateOf(1, 0, 1, 1, echo)))
	old := c.Snapshot()
	must(t, c.UpdateRemote(ReplicaID{"b", "b1"}, Update{Epoch: 1, Base: 1, Revision: 2, Withdrawn: []ServiceName{echo}}))
	c.SetLocal(localWith([]string{"b"}))
	if s := old.Services.Get(echo); s == nil || len(s.Peers) != 1 || len(s.Endpoints) != 1 {
		t.Errorf("the old snapshot changed: %+v", s)
	}
	if c.Snapshot().Services.Get(echo) != nil {
		t.Error("the service is still there")
	}
}

func TestReplicasOfAPeer(t *testing.T) {
	t.Parallel()
	old, young := ReplicaID{"b", "old"}, ReplicaID{"b", "young"}
	newCatalog := func(t *testing.T) *Catalog {
		t.Helper()
		c := NewCatalog(nil)
		c.SetLocal(localWith([]string{"b"}))
		must(t, c.UpdateRemote(old, updateOf(1, 0, 1, 1, echo)))
		must(t, c.UpdateRemote(young, updateOf(2, 0, 1, 2, echo)))
		return c
	}
	tests := []struct {
		name  string
		steps func(t *testing.T, c *Catalog)
		want  int
	}{
		{"the youngest is current", func(*testing.T, *Catalog) {}, 2},
		{"the other does not interrupt", func(t *testing.T, c *Catalog) {
			t.Helper()
			before := c.Snapshot()
			must(t, c.UpdateRemote(old, updateOf(1, 1, 2, 7, echo)))
			if c.Snapshot() != before {
				t.Error("flapped")
			}
		}, 2},
		{"when it goes the other one counts", func(_ *testing.T, c *Catalog) { c.ForgetReplica(young) }, 1},
		{"the last advert is kept", func(_ *testing.T, c *Catalog) { c.ForgetReplica(young); c.ForgetReplica(old) }, 1},
		{"the last advert is kept until another replica sends one", func(t *testing.T, c *Catalog) {
			t.Helper()
			c.ForgetReplica(old)
			c.ForgetReplica(young)
			must(t, c.UpdateRemote(old, updateOf(1, 0, 5, 4, echo)))
		}, 4},
		{"a dropped advert is not built on", func(t *testing.T, c *Catalog) {
			t.Helper()
			c.ForgetReplica(young)
			if err := c.UpdateRemote(young, updateOf(2, 1, 2, 9, echo)); !errors.Is(err, ErrGap) {
				t.Errorf("err = %v, want ErrGap", err)
			}
		}, 1},
		{"the peer's manifest goes", func(_ *testing.T, c *Catalog) { c.SetLocal(localWith(nil)) }, -1},
		{"the peer becomes another cluster", func(_ *testing.T, c *Catalog) {
			l := localWith([]string{"b"})
			l.Peers["b"].Spec.SPIFFEID = "spiffe://other"
			c.SetLocal(l)
		}, -1},
		{"the peer moves", func(_ *testing.T, c *Catalog) {
			l := localWith([]string{"b"})
			l.Peers["b"].Spec.Addresses = []string{"192.0.2.1:7443"}
			c.SetLocal(l)
		}, 2},
		{"update of an unknown peer", func(t *testing.T, c *Catalog) {
			t.Helper()
			if err := c.UpdateRemote(ReplicaID{"x", "x1"}, updateOf(1, 0, 1, 1, echo)); !errors.Is(err, ErrUnknownPeer) {
				t.Errorf("err = %v, want ErrUnknownPeer", err)
			}
		}, 2},
		{"withdrawn", func(t *testing.T, c *Catalog) {
			t.Helper()
			must(t, c.UpdateRemote(young, Update{Epoch: 2, Base: 1, Revision: 2, Withdrawn: []ServiceName{echo}}))
		}, -1},
		{"left out of a snapshot", func(t *testing.T, c *Catalog) {
			t.Helper()
			must(t, c.UpdateRemote(young, updateOf(2, 0, 2, 1)))
		}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCatalog(t)
			tt.steps(t, c)
			if got := ready(c); got != tt.want {
				t.Errorf("ready endpoints = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	other := ServiceName{Namespace: "demo", Name: "other"}
	tests := map[string]struct {
		update Update
		field  string
	}{
		"readiness of nothing": {
			Update{Epoch: 1, Base: 1, Revision: 2, Readiness: map[ServiceName]Endpoints{other: {}}},
			"update.readiness",
		},
		"readiness of no port": {Update{
			Epoch: 1, Base: 1, Revision: 2,
			Readiness: map[ServiceName]Endpoints{echo: {Rows: []Readiness{{Port: 81}}}},
		}, "update.readiness"},
		"ports leave readiness behind": {Update{
			Epoch: 1, Base: 1, Revision: 2,
			Exports: map[ServiceName]Metadata{echo: {Ports: []ServicePort{{Port: 90, Protocol: TCP}}}},
		}, "update.readiness"},
		"exported and withdrawn": {func() Update {
			u := updateOf(1, 1, 2, 5, echo)
			u.Withdrawn = []ServiceName{echo}
			return u
		}(), "update.withdrawn"},
		"too many": {func() Update {
			u := updateOf(1, 1, 2, 5)
			for i := range MaxServices {
				u.Exports[ServiceName{"n", fmt.Sprint(i)}] = Metadata{}
			}
			return u
		}(), "update.exports"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := NewCatalog(nil)
			c.SetLocal(localWith([]string{"b"}))
			must(t, c.UpdateRemote(ReplicaID{"b", "b1"}, updateOf(1, 0, 1, 1, echo)))
			before := c.Snapshot()
			var bad *InvalidError
			if err := c.UpdateRemote(ReplicaID{"b", "b1"}, tt.update); !errors.As(err, &bad) || bad.Field != tt.field {
				t.Errorf("err = %v, want one of %s", err, tt.field)
			}
			if c.Snapshot() != before {
				t.Error("part of it was applied")
			}
			must(t, c.UpdateRemote(ReplicaID{"b", "b1"}, updateOf(1, 1, 2, 8, echo)))
			if ready(c) != 8 {
				t.Error("a good update after it was not applied")
			}
		})
	}
}

// What replicas advertise alike is held once.
func TestReplicasShareMemory(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	c.SetLocal(localWith([]string{"b"}))
	must(t, c.UpdateRemote(ReplicaID{"b", "b1"}, updateOf(1, 0, 1, 1, echo)))
	must(t, c.UpdateRemote(ReplicaID{"b", "b2"}, updateOf(2, 0, 9, 1, echo)))
	replicas := c.peers["b"].replicas
	if replicas["b1"].exports.Get(echo) != replicas["b2"].exports.Get(echo) {
		t.Error("two copies")
	}
}

func TestReplicasAreBounded(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	c.SetLocal(localWith([]string{"b"}))
	for i := range maxReplicas {
		must(t, c.UpdateRemote(ReplicaID{"b", fmt.Sprint(i)}, updateOf(1, 0, 1, 1, echo)))
	}
	var bad *InvalidError
	if err := c.UpdateRemote(ReplicaID{"b", "more"}, updateOf(1, 0, 1, 1, echo)); !errors.As(err, &bad) {
		t.Errorf("err = %v", err)
	}
}

// BenchmarkDelta is what one peer's change costs when the catalog is large.
func BenchmarkDelta(b *testing.B) {
	c := NewCatalog(nil)
	names := make([]ServiceName, 10_000)
	for i := range names {
		names[i] = ServiceName{Namespace: "demo", Name: fmt.Sprintf("s%d", i)}
	}
	c.SetLocal(localWith([]string{"b"}, names...))
	link, revision := ReplicaID{"b", "b1"}, uint64(1)
	if err := c.UpdateRemote(link, updateOf(1, 0, 1, 1, names...)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		name := names[revision%uint64(len(names))]
		if err := c.UpdateRemote(link, updateOf(1, revision, revision+1, uint32(revision%7), name)); err != nil {
			b.Fatal(err)
		}
		revision++
	}
}

// BenchmarkSetLocal is what reading all manifests again costs when one service changed.
func BenchmarkSetLocal(b *testing.B) {
	c := NewCatalog(nil)
	names := make([]ServiceName, 10_000)
	for i := range names {
		names[i] = ServiceName{Namespace: "demo", Name: fmt.Sprintf("s%d", i)}
	}
	locals := []Local{localWith(nil, names...), localWith(nil, names...)}
	locals[1].Services = locals[1].Services.With(names[7], newService(names[7], 2))
	i := 0
	for b.Loop() {
		c.SetLocal(locals[i%2])
		i++
	}
}

// The number of proxies is in the snapshot, and a change of it alone makes a new one.
func TestNumberOfProxies(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	c.SetLocal(Local{Proxies: 2})
	first := c.Snapshot()
	c.SetLocal(Local{Proxies: 2})
	if same := c.Snapshot(); same != first || first.Proxies != 2 {
		t.Errorf("%d proxies, revision %d after %d", same.Proxies, same.Revision, first.Revision)
	}
	c.SetLocal(Local{Proxies: 3})
	if n := c.Snapshot().Proxies; n != 3 {
		t.Errorf("%d proxies", n)
	}
}
