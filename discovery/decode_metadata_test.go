package discovery

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery/catalogpb"
)

// richService is a headless service with all fields set.
func richService() *Service {
	return &Service{
		Name: echo, Ports: []ServicePort{{Name: "db", Port: 5432, Protocol: TCP}},
		Spec: ServiceSpec{
			Headless: true, SessionAffinity: "ClientIP", SessionAffinityTimeout: time.Hour, InternalTrafficPolicy: "Local",
			TrafficDistribution: "PreferClose", IPFamilies: []string{"IPv6", "IPv4"},
		},
		Export: &Export{
			Created: time.Unix(1_700_000_000, 0), Labels: map[string]string{"team": "a", "x.org/tier": ""},
			Annotations: map[string]string{"note": "any text, \n more"},
		},
		Endpoints: map[uint16][]Endpoint{5432: {
			{Address: netip.MustParseAddrPort("10.0.0.2:5432"), Hostname: "db-1", Locality: Locality{"r", "z"}, Ready: true},
			{Address: netip.MustParseAddrPort("10.0.0.1:5432"), Hostname: "db-0", Locality: Locality{"r", "z"}},
			{Address: netip.MustParseAddrPort("10.0.0.3:5432"), Locality: Locality{"r", "z"}, Ready: true},
		}},
	}
}

func richExport() *export { return exportOf(richService()) }

// All fields arrive as they were sent.
func TestMetadataArrives(t *testing.T) {
	t.Parallel()
	s := richService()
	messages, err := encode("b", 1, &delta{revision: 1, changes: []change{{echo, partMetadata | partReadiness, richExport()}}})
	must(t, err)
	m, err := decodeMessage(messages[0])
	must(t, err)
	u, done, err := (&assembler{peer: "b"}).take(m.GetUpdate())
	must(t, err)
	if !done {
		t.Fatal("not all of it")
	}
	c := NewCatalog(nil)
	c.SetLocal(localWith([]string{"b"}))
	must(t, c.UpdateRemote(ReplicaID{"b", "b1"}, u))
	got := c.Snapshot().Services.Get(echo).Peers[0]
	want := PeerExport{
		Peer: "b", Ports: s.Ports, Spec: s.Spec, Export: *s.Export, Since: got.Since,
		Readiness: []Readiness{{Locality: Locality{"r", "z"}, Port: 5432, Ready: 2, Total: 3}},
		Pods:      []Pod{{"db-0", Locality{"r", "z"}, false}, {"db-1", Locality{"r", "z"}, true}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Each part of the metadata that changes is sent.
func TestMetadataChangesAreSent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Service){
		"HTTP":          func(s *Service) { s.Ports[0].HTTP = true },
		"created":       func(s *Service) { s.Export.Created = time.Unix(1, 0) },
		"labels":        func(s *Service) { s.Export.Labels = map[string]string{"team": "b"} },
		"annotations":   func(s *Service) { s.Export.Annotations = nil },
		"headless":      func(s *Service) { s.Spec.Headless = false },
		"affinity":      func(s *Service) { s.Spec.SessionAffinity = "" },
		"timeout":       func(s *Service) { s.Spec.SessionAffinityTimeout = time.Minute },
		"policy":        func(s *Service) { s.Spec.InternalTrafficPolicy = "" },
		"distribution":  func(s *Service) { s.Spec.TrafficDistribution = "" },
		"families":      func(s *Service) { s.Spec.IPFamilies = []string{"IPv4", "IPv6"} },
		"a pod's state": func(s *Service) { s.Endpoints[5432][1].Ready = true },
		"a pod's name":  func(s *Service) { s.Endpoints[5432][2].Hostname = "db-2" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := NewCatalog(nil)
			l := localWith([]string{"b"})
			l.Services = l.Services.With(echo, richService())
			c.SetLocal(l)
			var has sent
			c.deltaFor("b", &has)
			before := c.exports.revision
			l = localWith([]string{"b"})
			l.Services = l.Services.With(echo, richService())
			c.SetLocal(l)
			if c.exports.revision != before {
				t.Fatal("the same again is a change")
			}
			l = localWith([]string{"b"})
			l.Services = l.Services.With(echo, richService())
			change(l.Services.Get(echo))
			c.SetLocal(l)
			if d, ok, _ := c.deltaFor("b", &has); !ok || len(d.changes) != 1 {
				t.Errorf("delta = %+v", d)
			}
		})
	}
}

func TestInvalidMetadata(t *testing.T) {
	t.Parallel()
	many := func(n int) map[string]string {
		entries := map[string]string{}
		for i := range n {
			entries[fmt.Sprintf("k%d", i)] = "v"
		}
		return entries
	}
	export := func(change func(*catalogpb.Export)) func(*catalogpb.Update) {
		return func(u *catalogpb.Update) { change(u.GetExports()[0]) }
	}
	pods := func(names ...string) func(*catalogpb.Update) {
		return func(u *catalogpb.Update) {
			for _, n := range names {
				u.GetReadiness()[0].Pods = append(u.GetReadiness()[0].GetPods(), &catalogpb.Readiness_Pod{Hostname: n})
			}
		}
	}
	for name, tt := range map[string]struct {
		change func(*catalogpb.Update)
		want   string // the field; "" when it is taken
	}{
		"far future":     {export(func(x *catalogpb.Export) { x.Created = 1 << 63 }), "update.exports[0].created"},
		"many labels":    {export(func(x *catalogpb.Export) { x.Labels = many(maxMapEntries + 1) }), "update.exports[0].labels"},
		"label key":      {export(func(x *catalogpb.Export) { x.Labels = map[string]string{"a b": ""} }), "update.exports[0].labels"},
		"label value":    {export(func(x *catalogpb.Export) { x.Labels = map[string]string{"a": "b c"} }), "update.exports[0].labels"},
		"annotation key": {export(func(x *catalogpb.Export) { x.Annotations = map[string]string{"": ""} }), "update.exports[0].annotations"},
		"annotation size": {export(func(x *catalogpb.Export) {
			x.Annotations = map[string]string{"a": strings.Repeat("x", maxAnnotationBytes)}
		}), "update.exports[0].annotations"},
		"annotation value": {export(func(x *catalogpb.Export) { x.Annotations = map[string]string{"a": "b c"} }), ""},
		"newer values": {export(func(x *catalogpb.Export) {
			x.SessionAffinity, x.TrafficDistribution, x.IpFamilies = "Cookie", "PreferQuiet", []string{"IPv7", "IPv6", "IPv6"}
		}), ""},
		"endless affinity": {export(func(x *catalogpb.Export) { x.SessionAffinity, x.SessionAffinitySeconds = "ClientIP", 1<<32-1 }), ""},
		"pod name":         {pods("db_0"), "update.readiness[0].pods[0].hostname"},
		"pod without name": {pods(""), "update.readiness[0].pods[0].hostname"},
		"pods twice":       {pods("db-0", "db-0"), "update.readiness[0].pods[1].hostname"},
		"pods unsorted":    {pods("db-1", "db-0"), "update.readiness[0].pods[1].hostname"},
		"many pods":        {pods(make([]string, maxPods+1)...), "update.readiness[0].pods"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := snapshotOf(1, 1, 3, echo)
			tt.change(u)
			got, _, err := (&assembler{peer: "b"}).take(u)
			if tt.want == "" {
				must(t, err)
				if s := got.Exports[echo].Spec; len(s.IPFamilies) > 1 || s.TrafficDistribution != "" || s.SessionAffinityTimeout > maxAffinity {
					t.Errorf("spec = %+v", s)
				}
				return
			}
			bad, ok := err.(*InvalidError) //nolint:errorlint // as it is made
			if !ok || bad.Field != tt.want {
				t.Errorf("err = %v, want one of %s", err, tt.want)
			}
		})
	}
}

// What this cluster sends never exceeds what a peer accepts.
func TestExportsAreBoundedBeforeTheyAreSent(t *testing.T) {
	t.Parallel()
	s := richService()
	long := strings.Repeat("x", 63)
	for i := range 100 {
		s.Export.Labels[fmt.Sprintf("k%d", i)] = "v"
		s.Export.Annotations[fmt.Sprintf("k%d", i)] = strings.Repeat("x", 1000)
	}
	for i := range 2 * maxReadiness {
		s.Endpoints[5432] = append(s.Endpoints[5432], Endpoint{
			Hostname: fmt.Sprintf("%s-%05d", long[6:], i), Locality: Locality{long, fmt.Sprintf("%s-%05d", long[6:], i%maxReadiness)}, Ready: true,
		})
	}
	messages, err := encode("b", 1, &delta{revision: 1, changes: []change{{echo, partMetadata | partReadiness, exportOf(s)}}})
	must(t, err)
	a := &assembler{peer: "b"}
	for _, data := range messages {
		m, err := decodeMessage(data)
		must(t, err)
		_, _, err = a.take(m.GetUpdate())
		must(t, err)
	}
}
