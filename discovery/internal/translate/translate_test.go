package translate

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse[T any](t *testing.T, manifest string) *T {
	t.Helper()
	v := new(T)
	if err := yaml.UnmarshalStrict([]byte(manifest), v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestServiceSpec(t *testing.T) {
	t.Parallel()
	for manifest, want := range map[string]string{
		`{clusterIP: 10.0.0.1}`: `{}`,
		`{clusterIP: None}`:     `{"headless":true}`,
		`{sessionAffinity: None, internalTrafficPolicy: Cluster}`: `{}`,
		`{sessionAffinity: ClientIP}`:                             `{"sessionAffinity":"ClientIP","sessionAffinityTimeout":10800000000000}`,
		`{sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}}`: `{"sessionAffinity":"ClientIP",` +
			`"sessionAffinityTimeout":60000000000}`,
		`{internalTrafficPolicy: Local, trafficDistribution: PreferSameZone, ipFamilies: [IPv6, IPv4]}`: `{"internalTrafficPolicy":"Local",` +
			`"trafficDistribution":"PreferSameZone","ipFamilies":["IPv6","IPv4"]}`,
	} {
		s := Service(discovery.ServiceName{Namespace: "a", Name: "b"}, &corev1.Service{Spec: *parse[corev1.ServiceSpec](t, manifest)})
		got, err := json.Marshal(s.Spec)
		if err != nil || string(got) != want {
			t.Errorf("%s:\n got %s, %v\nwant %s", manifest, got, err, want)
		}
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("east", 3600))
	e := &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(created)}}
	if got := Export(e).Created; got != created.UTC() {
		t.Errorf("created %v", got)
	}
	if got := Export(&mcsv1beta1.ServiceExport{}).Created; !got.IsZero() {
		t.Errorf("created %v", got)
	}
	if e := Export(e); e.To != nil {
		t.Errorf("without the annotation it is exported to %q", e.To)
	}
	e.Annotations = map[string]string{v1alpha1.ExportToAnnotation: "c,b"}
	if e := Export(e); !slices.Equal(e.To, []string{"b", "c"}) {
		t.Errorf("exported to %q", e.To)
	}
	for value, dry := range map[string]bool{"true": true, "false": false} {
		e.Annotations[v1alpha1.ExportToDryRunAnnotation] = value
		if errs := (&Checker{}).Check("shop", e); len(errs) != 1 || Export(e).ToDryRun != dry { // the name
			t.Errorf("%s: %+v, checked: %v", value, Export(e), errs)
		}
	}
	e.Annotations[v1alpha1.ExportToDryRunAnnotation] = "yes"
	if errs := (&Checker{}).Check("shop", e); len(errs) != 2 || errs[1].Field != "metadata.annotations[eastway.dev/export-to-dry-run]" {
		t.Errorf("checked: %v", errs)
	}
	delete(e.Annotations, v1alpha1.ExportToDryRunAnnotation)
	e.Annotations[v1alpha1.ExportToAnnotation] = "b,"
	if errs := (&Checker{}).Check("shop", e); len(errs) != 2 || errs[1].Field != "metadata.annotations[eastway.dev/export-to]" { // the first: no name
		t.Errorf("checked: %v", errs)
	}
	if e := Export(e); e.To == nil || len(e.To) > 0 {
		t.Errorf("a bad annotation exports to %v, want no Peer", e.To)
	}
}

// Conditions of endpoints: those that terminate and serve are distinct from those that are ready, and from the rest.
func TestConditions(t *testing.T) {
	t.Parallel()
	const (
		ready    = `{addresses: [10.0.0.1], conditions: {ready: true, serving: true, terminating: false}}`
		unsaid   = `{addresses: [10.0.0.2]}`
		broken   = `{addresses: [10.0.0.3], conditions: {ready: false, serving: false}}`
		leaving  = `{addresses: [10.0.0.4], conditions: {ready: false, serving: true, terminating: true}}`
		gone     = `{addresses: [10.0.0.5], conditions: {ready: false, serving: false, terminating: true}}`
		again    = `{addresses: [10.0.0.3], conditions: {ready: true}}`
		stubborn = `{addresses: [10.0.0.6], conditions: {ready: true, serving: true, terminating: true}}` // publishNotReadyAddresses
	)
	for _, test := range []struct {
		name      string
		endpoints []string
		want      map[string]string
	}{
		{"ready", []string{ready, unsaid, broken}, map[string]string{"10.0.0.1": "ready", "10.0.0.2": "ready", "10.0.0.3": "not"}},
		{"terminating beside a ready one", []string{leaving, gone, ready}, map[string]string{"10.0.0.1": "ready", "10.0.0.4": "terminating"}},
		{"terminating ones only", []string{leaving, gone, broken}, map[string]string{"10.0.0.3": "not", "10.0.0.4": "terminating"}},
		{"published whatever it is", []string{stubborn, leaving}, map[string]string{"10.0.0.4": "terminating", "10.0.0.6": "ready"}},
		{"twice", []string{broken, again}, map[string]string{"10.0.0.3": "ready"}},
	} {
		s := &discovery.Service{Ports: []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}}
		g := NewEndpoints(s, NewPlaces(""), nil)
		for _, e := range test.endpoints {
			slice := parse[discoveryv1.EndpointSlice](t, `{addressType: IPv4, ports: [{port: 8080}], endpoints: [`+e+`]}`)
			if doubts, refused := g.Add(slice); len(doubts) > 0 || refused != nil {
				t.Fatal(doubts, refused)
			}
		}
		got := map[string]string{}
		for _, e := range g.ByPort()[80] {
			got[e.Address.Addr().String()] = condition(e)
			if e.Address.Port() != 8080 || e.Hostname != "" {
				t.Errorf("%s: %+v", test.name, e)
			}
		}
		if a, b := marshal(t, got), marshal(t, test.want); a != b {
			t.Errorf("%s: got %s, want %s", test.name, a, b)
		}
	}
}

func condition(e discovery.Endpoint) string {
	switch {
	case e.Ready && e.Terminating:
		return "both"
	case e.Ready:
		return "ready"
	case e.Terminating:
		return "terminating"
	}
	return "not"
}

// A pod that slices of both families have is one endpoint.
func TestOnePerPod(t *testing.T) {
	t.Parallel()
	endpoint := func(address, pod, more string) string {
		return "{addresses: ['" + address + "'], targetRef: {kind: Pod, name: " + pod + "}" + more + "}"
	}
	const unready = ", conditions: {ready: false}"
	for _, test := range []struct {
		name, four, six string
		families        []string
		want            map[string]bool
	}{
		{
			"IPv4 first", endpoint("10.0.0.1", "a", ""), endpoint("fd00::1", "a", "") + "," + endpoint("fd00::2", "b", ""),
			[]string{"IPv4", "IPv6"},
			map[string]bool{"10.0.0.1": true, "fd00::2": true},
		},
		{
			"IPv6 first", endpoint("10.0.0.1", "a", ""), endpoint("fd00::1", "a", ""),
			[]string{"IPv6", "IPv4"},
			map[string]bool{"fd00::1": true},
		},
		{
			"one slice is late", endpoint("10.0.0.1", "a", unready), endpoint("fd00::1", "a", ""),
			[]string{"IPv4", "IPv6"},
			map[string]bool{"fd00::1": true},
		},
		{
			"not ready", endpoint("10.0.0.1", "a", unready), endpoint("fd00::1", "a", unready),
			nil,
			map[string]bool{"10.0.0.1": false},
		},
		{"no pods", "{addresses: [10.0.0.1]}", "{addresses: ['fd00::1']}", nil, map[string]bool{"10.0.0.1": true, "fd00::1": true}},
	} {
		s := &discovery.Service{
			Ports: []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}, Spec: discovery.ServiceSpec{IPFamilies: test.families},
		}
		g := NewEndpoints(s, NewPlaces(""), nil)
		for family, list := range map[string]string{"IPv4": test.four, "IPv6": test.six} {
			slice := parse[discoveryv1.EndpointSlice](t, "{addressType: "+family+", ports: [{port: 8080}], endpoints: ["+list+"]}")
			if doubts, refused := g.Add(slice); len(doubts) > 0 || refused != nil {
				t.Fatal(doubts, refused)
			}
		}
		got := map[string]bool{}
		for _, e := range g.ByPort()[80] {
			got[e.Address.Addr().String()] = e.Ready
		}
		if a, b := marshal(t, got), marshal(t, test.want); a != b {
			t.Errorf("%s: got %s, want %s", test.name, a, b)
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHostnames(t *testing.T) {
	t.Parallel()
	slice := parse[discoveryv1.EndpointSlice](t, `
addressType: IPv4
ports: [{port: 80}]
endpoints:
- {addresses: [10.0.0.1], hostname: db-0, targetRef: {kind: Pod, name: other}}
- {addresses: [10.0.0.2], targetRef: {kind: Pod, name: db-7f9c-x2x}}
- {addresses: [10.0.0.3], targetRef: {kind: Pod, name: not.a.label}}
- {addresses: [10.0.0.4]}`)
	six := parse[discoveryv1.EndpointSlice](t, `
addressType: IPv6
ports: [{port: 80}]
endpoints: [{addresses: ["fd00::1"]}]`)
	s := &discovery.Service{
		Ports: []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}, Spec: discovery.ServiceSpec{Headless: true},
	}
	g := NewEndpoints(s, NewPlaces(""), nil)
	g.Add(slice)
	g.Add(six)
	var got []string
	for _, e := range g.ByPort()[80] {
		got = append(got, e.Hostname)
	}
	want := []string{"db-0", "db-7f9c-x2x", "10-0-0-3", "10-0-0-4", "fd00-0000-0000-0000-0000-0000-0000-0001"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	p := NewPlaces("home")
	for _, n := range []string{
		`{metadata: {name: a, labels: {topology.kubernetes.io/region: east, topology.kubernetes.io/zone: e1}}}`,
		`{metadata: {name: b, labels: {topology.kubernetes.io/zone: e1}}}`,
		`{metadata: {name: c}}`,
		`{metadata: {name: d, labels: {topology.kubernetes.io/region: west, topology.kubernetes.io/zone: e1}}}`,
	} {
		p.AddNode(parse[corev1.Node](t, n))
	}
	for name, want := range map[string]string{"a": "east/e1", "b": "east/e1", "c": "home/-", "d": "west/e1", "unknown": "home/-"} {
		if got := p.Node(name).String(); got != want {
			t.Errorf("node %s is in %s, want %s", name, got, want)
		}
	}
	for endpoint, want := range map[string]string{
		`{nodeName: a}`:           "east/e1",
		`{nodeName: a, zone: e9}`: "east/e9",
		`{zone: e1}`:              "east/e1",
		`{nodeName: d}`:           "east/e1", // the first region of a zone counts
		`{}`:                      "home/-",
	} {
		e := parse[discoveryv1.Endpoint](t, endpoint)
		if got := p.Endpoint(&discoveryv1.EndpointSlice{}, e).String(); got != want {
			t.Errorf("%s is in %s, want %s", endpoint, got, want)
		}
	}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.LabelTopologyRegion: "far"}}}
	if got := p.Endpoint(slice, parse[discoveryv1.Endpoint](t, `{nodeName: a}`)).String(); got != "far/e1" {
		t.Errorf("with an annotation it is in %s", got)
	}
}

// By the API all addresses of an endpoint are one thing; what is no address is passed over.
func TestAddresses(t *testing.T) {
	t.Parallel()
	s := parse[discoveryv1.EndpointSlice](t,
		`{addressType: IPv4, endpoints: [{addresses: [10.0.0.1, 10.0.0.2]}, {addresses: [nonsense]}, {addresses: []}, {addresses: [10.0.0.3]}]}`)
	var got []netip.Addr
	for a := range Addresses(s) {
		got = append(got, a)
	}
	if want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.3")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for range Addresses(s) {
		break
	}
}

func TestPolicyTarget(t *testing.T) {
	t.Parallel()
	shop := v1alpha1.TargetRef{Kind: v1alpha1.KindService, Name: "shop"}
	for _, c := range []struct {
		namespace string
		ref       v1alpha1.TargetRef
		want      discovery.ServiceName
		subject   string
	}{
		{"default", shop, discovery.ServiceName{Namespace: "default", Name: "shop"}, "Service default/shop"},
		{"root", shop, discovery.ServiceName{Namespace: "root", Name: "shop"}, "Service root/shop"},
		{"default", v1alpha1.TargetRef{}, discovery.ServiceName{Namespace: "default"}, "namespace default"},
		{"root", v1alpha1.TargetRef{}, discovery.ServiceName{}, "the cluster"},
	} {
		p := &v1alpha1.TrafficPolicy{Spec: v1alpha1.TrafficPolicySpec{TargetRef: c.ref}}
		if got := Target(c.namespace, p, "root"); got != c.want || Subject(got) != c.subject {
			t.Errorf("%s %+v is for %+v, %s", c.namespace, c.ref, got, Subject(got))
		}
	}
}

// An address that may be no endpoint leaves the others of its slice in use.
func TestRefusedEndpoints(t *testing.T) {
	t.Parallel()
	slice := parse[discoveryv1.EndpointSlice](t, `
addressType: IPv4
ports: [{name: a, port: 8080}, {name: b, port: 9090}]
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}]`)
	s := &discovery.Service{Ports: []discovery.ServicePort{
		{Name: "a", Port: 80, Protocol: discovery.TCP}, {Name: "b", Port: 90, Protocol: discovery.TCP},
	}}
	for _, test := range []struct {
		name   string
		refuse []string
		used   []string
		want   string
	}{
		{"none", nil, []string{"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.3:9090"}, ""},
		{
			"one port",
			[]string{"10.0.0.2:8080"},
			[]string{"10.0.0.1:8080", "10.0.0.3:8080", "10.0.0.1:9090", "10.0.0.2:9090", "10.0.0.3:9090"},
			"endpoints[1].addresses[0]: 10.0.0.2:8080 is bad: this endpoint is not used",
		},
		{
			"several",
			[]string{"10.0.0.2:8080", "10.0.0.3:9090", "10.0.0.3:8080"},
			[]string{"10.0.0.1:8080", "10.0.0.1:9090", "10.0.0.2:9090"},
			"endpoints[1].addresses[0]: 10.0.0.2:8080 is bad: this endpoint is not used, nor are 2 more of this slice",
		},
	} {
		g := NewEndpoints(s, NewPlaces(""), func(at netip.AddrPort) string {
			if slices.Contains(test.refuse, at.String()) {
				return "is bad"
			}
			return ""
		})
		_, refused := g.Add(slice)
		got := ""
		if refused != nil {
			path, message := FieldOf(refused)
			got = path + ": " + message
		}
		var used []string
		for _, port := range []uint16{80, 90} {
			for _, e := range g.ByPort()[port] {
				used = append(used, e.Address.String())
			}
		}
		if got != test.want || !slices.Equal(used, test.used) {
			t.Errorf("%s: %q used, %q", test.name, used, got)
		}
	}
}

func TestUnicast(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"10.0.0.1": true, "fd00::1": true, "::1": true, "::ffff:10.0.0.1": true,
		"0.0.0.0": false, "::": false, "::%eth0": false, "::ffff:0.0.0.0": false, "fd00::1%eth0": false,
		"224.0.0.1": false, "ff02::1": false, "::ffff:224.0.0.1": false,
	} {
		if got := unicast(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}
