package discovery

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// created is n seconds after some moment.
func created(n int64) time.Time { return time.Unix(1_700_000_000+n, 0) }

func tcp(name string, port uint16) ServicePort {
	return ServicePort{Name: name, Port: port, Protocol: TCP}
}

// exporting is a peer's export of that age.
func exporting(peer string, age int64, ports []ServicePort, edit ...func(*PeerExport)) PeerExport {
	e := PeerExport{Peer: peer, Ports: ports, Export: Export{Created: created(age)}}
	for _, f := range edit {
		f(&e)
	}
	return e
}

func TestResolvePrecedence(t *testing.T) {
	t.Parallel()
	type list = []PeerExport
	headless := func(e *PeerExport) { e.Spec.Headless = true }
	heard := func(at int64) func(*PeerExport) { return func(e *PeerExport) { e.Heard = created(at) } }
	unknown := func(peer string, edit func(*PeerExport)) PeerExport {
		e := exporting(peer, 0, nil, edit)
		e.Export.Created = time.Time{}
		return e
	}
	for name, tc := range map[string]struct {
		own   *Export
		peers list
		want  []string
	}{
		"no exporter":            {nil, nil, nil},
		"own alone":              {&Export{}, nil, []string{"b"}},
		"peer alone":             {nil, list{exporting("a", 5, nil)}, []string{"a"}},
		"oldest first":           {&Export{Created: created(5)}, list{exporting("a", 9, nil), exporting("c", 1, nil)}, []string{"c", "b", "a"}},
		"then own, then by name": {&Export{Created: created(1)}, list{exporting("c", 1, nil), exporting("a", 1, nil)}, []string{"b", "a", "c"}},
		"fractions do not count": {&Export{Created: created(1).Add(9e8)}, list{exporting("c", 1, nil)}, []string{"b", "c"}},
		"unknown age comes last": {&Export{}, list{exporting("c", 1, nil)}, []string{"c", "b"}},
		"whatever the type is":   {&Export{Created: created(2)}, list{exporting("c", 1, nil, headless)}, []string{"c", "b"}},
		"heard after the own was made": {
			&Export{Created: created(5)},
			list{exporting("a", -1_699_999_999, nil, heard(6)), exporting("c", 1, nil, heard(5))},
			[]string{"b", "c", "a"},
		},
		"heard before":                   {&Export{Created: created(5)}, list{exporting("c", 1, nil, heard(4))}, []string{"c", "b"}},
		"younger than when it was heard": {nil, list{exporting("a", 9, nil, heard(4)), exporting("c", 8, nil, heard(4))}, []string{"c", "a"}},
		"heard together, then by claim":  {nil, list{exporting("a", 3, nil, heard(4)), exporting("c", 2, nil, heard(4))}, []string{"c", "a"}},
		"heard in another order":         {nil, list{exporting("a", 3, nil, heard(4)), exporting("c", 2, nil, heard(5))}, []string{"a", "c"}},
		"heard, but of unknown age":      {nil, list{unknown("a", heard(1)), exporting("c", 2, nil, heard(5))}, []string{"c", "a"}},
		"peers without own count":        {nil, list{exporting("a", 9, nil), exporting("c", 1, nil)}, []string{"c", "a"}},
	} {
		got := Resolve("b", &Service{Export: tc.own, Peers: tc.peers})
		if !slices.Equal(got.Clusters, tc.want) {
			t.Errorf("%s: %v, want %v", name, got.Clusters, tc.want)
		}
	}
}

func TestResolvePorts(t *testing.T) {
	t.Parallel()
	type list = []ServicePort
	udp := func(name string, port uint16) ServicePort { return ServicePort{Name: name, Port: port, Protocol: UDP} }
	web := ServicePort{Name: "http", Port: 80, Protocol: TCP, HTTP: true}
	h2c := ServicePort{Name: "http", Port: 80, Protocol: TCP, AppProtocol: "kubernetes.io/h2c"}
	for name, tc := range map[string]struct {
		old, young, want list
		conflict         []string
	}{
		"the same":           {list{tcp("a", 1), udp("b", 1)}, list{tcp("a", 1), udp("b", 1)}, list{tcp("a", 1), udp("b", 1)}, nil},
		"order":              {list{tcp("a", 1), tcp("b", 2)}, list{tcp("b", 2), tcp("a", 1)}, list{tcp("a", 1), tcp("b", 2)}, nil},
		"union":              {list{tcp("a", 1)}, list{tcp("b", 2)}, list{tcp("a", 1), tcp("b", 2)}, []string{"old", "young"}},
		"one more":           {list{tcp("a", 1)}, list{tcp("a", 1), tcp("b", 2)}, list{tcp("a", 1), tcp("b", 2)}, []string{"old"}},
		"same name":          {list{tcp("a", 1)}, list{tcp("a", 2)}, list{tcp("a", 1)}, []string{"young"}},
		"same number":        {list{tcp("a", 1)}, list{tcp("b", 1)}, list{tcp("a", 1)}, []string{"young"}},
		"no name":            {list{tcp("", 1)}, list{tcp("", 2)}, list{tcp("", 1)}, []string{"young"}},
		"other protocol":     {list{tcp("a", 53)}, list{tcp("a", 53), udp("b", 53)}, list{tcp("a", 53), udp("b", 53)}, []string{"old"}},
		"other app protocol": {list{h2c}, list{tcp("http", 80)}, list{h2c}, []string{"young"}},
		"HTTP":               {list{web}, list{tcp("http", 80)}, list{web}, nil}, // no conflict
		"HTTP, the younger":  {list{tcp("http", 80)}, list{web}, list{tcp("http", 80)}, nil},
	} {
		s := &Service{Peers: []PeerExport{exporting("old", 1, tc.old), exporting("young", 2, tc.young)}}
		got := Resolve("here", s)
		if !slices.Equal(got.Ports, tc.want) {
			t.Errorf("%s: ports %v, want %v", name, got.Ports, tc.want)
		}
		var conflict []string
		for _, c := range got.Conflicts {
			if c.Field != FieldPorts || c.Cluster != "old" {
				t.Errorf("%s: %+v", name, c)
			}
			conflict = c.Disagree
		}
		if !slices.Equal(conflict, tc.conflict) {
			t.Errorf("%s: conflict with %v, want %v", name, conflict, tc.conflict)
		}
	}
}

// Each field on its own: the older export decides, and exactly that field is in conflict.
func TestResolveFields(t *testing.T) {
	t.Parallel()
	for field, tc := range map[string]struct {
		edit func(*PeerExport)
		used string // when the edited one is older
	}{
		FieldType:            {func(e *PeerExport) { e.Spec.Headless = true }, "Headless"},
		FieldSessionAffinity: {func(e *PeerExport) { e.Spec.SessionAffinity, e.Spec.SessionAffinityTimeout = "ClientIP", time.Minute }, "ClientIP"},
		FieldInternalTrafficPolicy: {
			func(e *PeerExport) { e.Spec.InternalTrafficPolicy = "Local" }, "Local",
		},
		FieldTrafficDistribution: {func(e *PeerExport) { e.Spec.TrafficDistribution = "PreferClose" }, "PreferClose"},
		FieldLabels:              {func(e *PeerExport) { e.Export.Labels = map[string]string{"a": "b"} }, ""},
		FieldAnnotations:         {func(e *PeerExport) { e.Export.Annotations = map[string]string{"a": "b"} }, ""},
		"":                       {func(e *PeerExport) { e.Spec.IPFamilies = []string{"IPv6"} }, ""}, // no conflict
	} {
		for _, age := range []int64{1, 3} {
			odd := exporting("odd", age, nil, tc.edit)
			plain := exporting("plain", 2, nil)
			got := Resolve("here", &Service{Peers: []PeerExport{odd, plain}})
			winner, loser := &odd, &plain
			if age == 3 {
				winner, loser = loser, winner
			}
			if !reflect.DeepEqual(got.Spec, winner.Spec) || !maps.Equal(got.Labels, winner.Export.Labels) ||
				!maps.Equal(got.Annotations, winner.Export.Annotations) {
				t.Errorf("%s, age %d: %+v", field, age, got)
			}
			if field == "" {
				if len(got.Conflicts) > 0 {
					t.Errorf("IP families: %+v", got.Conflicts)
				}
				continue
			}
			if len(got.Conflicts) != 1 {
				t.Errorf("%s, age %d: %+v", field, age, got.Conflicts)
				continue
			}
			c := got.Conflicts[0]
			if c.Field != field || c.Cluster != winner.Peer || !slices.Equal(c.Disagree, []string{loser.Peer}) ||
				age == 1 && c.Used != tc.used {
				t.Errorf("%s, age %d: %+v", field, age, c)
			}
		}
	}
}

func TestResolveAffinityTimeout(t *testing.T) {
	t.Parallel()
	sticky := func(d time.Duration) func(*PeerExport) {
		return func(e *PeerExport) { e.Spec.SessionAffinity, e.Spec.SessionAffinityTimeout = "ClientIP", d }
	}
	got := Resolve("here", &Service{Peers: []PeerExport{
		exporting("a", 1, nil, sticky(10*time.Second)), exporting("b", 2, nil, sticky(20*time.Second)), exporting("c", 3, nil),
	}})
	want := []Conflict{
		{FieldSessionAffinity, "ClientIP", "a", []string{"c"}},
		{FieldSessionAffinityConfig, "10 s", "a", []string{"b"}},
	}
	if !reflect.DeepEqual(got.Conflicts, want) {
		t.Errorf("%+v", got.Conflicts)
	}
}

// Every cluster that heard of each export a second after it was made comes to the same result, whichever of the exports is its own.
func TestResolveIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "d"}
	for range 300 {
		var all []PeerExport
		ages := rnd.Perm(len(names))
		for i, n := range names {
			e := exporting(n, 2*int64(ages[i]), nil, func(e *PeerExport) { e.Heard = e.Export.Created.Add(time.Second) })
			for p := range rnd.IntN(3) {
				e.Ports = append(e.Ports, tcp(string(rune('x'+rnd.IntN(3))), uint16(80+p)))
			}
			e.Spec.Headless = rnd.IntN(2) == 0
			e.Spec.SessionAffinity = []string{"", "ClientIP"}[rnd.IntN(2)]
			all = append(all, e)
		}
		var first string
		for own, e := range all {
			s := &Service{Ports: e.Ports, Spec: e.Spec, Export: &e.Export, Peers: slices.Delete(slices.Clone(all), own, own+1)}
			result, err := json.Marshal(Resolve(e.Peer, s))
			if err != nil {
				t.Fatal(err)
			}
			if own == 0 {
				first = string(result)
			} else if first != string(result) {
				t.Fatalf("in %s:\n%s\nin %s:\n%s", names[0], first, e.Peer, result)
			}
		}
	}
}

func TestHeard(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	c.SetLocal(Local{Peers: map[string]*Peer{"p": {Name: "p"}}})
	if c.Heard("p") {
		t.Error("heard before it sent anything")
	}
	link := ReplicaID{Peer: "p", Replica: "1"}
	if err := c.UpdateRemote(link, Update{Epoch: 1, Revision: 1}); err != nil {
		t.Fatal(err)
	}
	if !c.Heard("p") {
		t.Error("not heard although it sent that it exports nothing")
	}
	c.ForgetReplica(link)
	if !c.Heard("p") {
		t.Error("what it sent is no longer known once the link is gone")
	}
	c.SetLocal(Local{})
	if c.Heard("p") {
		t.Error("heard although there is no such peer")
	}
}
