package mcs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func newPorts(t *testing.T, first, last uint16) (*Ports, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	p, err := NewPorts(PortRange{first, last}, reg)
	if err != nil {
		t.Fatal(err)
	}
	return p, reg
}

func servicePorts(numbers ...uint16) []discovery.ServicePort {
	var out []discovery.ServicePort
	for _, n := range numbers {
		out = append(out, discovery.ServicePort{Port: n, Protocol: "TCP"})
	}
	return out
}

// object is a derived Service that was made so many seconds after some moment, with listener ports by service port.
func object(name string, seconds int64, listen map[int32]int32) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: "n", Name: name, CreationTimestamp: metav1.Unix(1_700_000_000+seconds, 0),
		Labels: map[string]string{v1alpha1.DerivedLabel: "import"},
	}}
	for port, target := range listen {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: port, Protocol: "TCP", TargetPort: intstr.FromInt32(target)})
	}
	return s
}

func TestPortsStayAndRest(t *testing.T) {
	t.Parallel()
	p, _ := newPorts(t, 100, 103)
	a, err := p.assign("a", servicePorts(80, 443), nil)
	if err != nil || a[servicePort{"TCP", 80}] != 100 || a[servicePort{"TCP", 443}] != 101 {
		t.Fatalf("%v %v", a, err)
	}
	// Asked again before the cache shows the object: the same.
	again, err := p.assign("a", servicePorts(443, 80), nil)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(a) {
		t.Errorf("%v %v", again, err)
	}
	// UDP has numbers of its own.
	udp, err := p.assign("u", []discovery.ServicePort{{Port: 53, Protocol: "UDP"}}, nil)
	if err != nil || udp[servicePort{"UDP", 53}] == 0 {
		t.Errorf("%v %v", udp, err)
	}
	p.release("a", map[servicePort]uint16{{"TCP", 80}: 100})
	// 101 is free, but rests: 102 and 103 come first.
	b, err := p.assign("b", servicePorts(1, 2, 3), nil)
	if err != nil || b[servicePort{"TCP", 1}] == 101 || b[servicePort{"TCP", 3}] != 101 {
		t.Errorf("%v %v", b, err)
	}
	if _, err := p.assign("c", servicePorts(1), nil); !errors.Is(err, errNoPorts) {
		t.Errorf("%v", err)
	}
	p.release("b", nil)
	if c, err := p.assign("c", servicePorts(1), nil); err != nil {
		t.Errorf("%v %v", c, err)
	}
}

func TestPortsAreLearntFromObjects(t *testing.T) {
	t.Parallel()
	young := object("young", 9, map[int32]int32{80: 100, 81: 102})
	old := object("old", 1, map[int32]int32{80: 100})
	outside := object("outside", 1, map[int32]int32{80: 7})
	c := fake.NewClientBuilder().WithObjects(young, old, outside).Build()
	p, reg := newPorts(t, 100, 110)
	if err := p.Load(t.Context(), c, "n"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		object *corev1.Service
		ports  []uint16
		want   string
	}{
		{old, []uint16{80}, "map[{TCP 80}:100]"},
		{outside, []uint16{80}, "map[{TCP 80}:7]"},                  // the range may have been changed
		{young, []uint16{80, 81}, "map[{TCP 80}:103 {TCP 81}:102]"}, // two leaders at once: the older object keeps it
	} {
		got, err := p.assign(tc.object.Name, servicePorts(tc.ports...), tc.object)
		if err != nil || fmt.Sprint(got) != tc.want {
			t.Errorf("%s: %v %v, want %s", tc.object.Name, got, err, tc.want)
		}
	}
	want := `
# HELP eastway_controller_listener_ports Listener ports available for each protocol (--listener-ports).
# TYPE eastway_controller_listener_ports gauge
eastway_controller_listener_ports 11
# HELP eastway_controller_listener_ports_used Listener ports assigned to services, by protocol.
# TYPE eastway_controller_listener_ports_used gauge
eastway_controller_listener_ports_used{protocol="TCP"} 4
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// A range that is full is known to be without looking at each of its numbers, and what is given back is found again.
func TestPortsFull(t *testing.T) {
	t.Parallel()
	p, _ := newPorts(t, 100, 102)
	outside := object("outside", 1, map[int32]int32{80: 7})
	if _, err := p.assign("outside", servicePorts(80), outside); err != nil {
		t.Fatal(err)
	}
	if _, err := p.assign("a", servicePorts(1, 2, 3), nil); err != nil {
		t.Fatalf("a port outside the range counts: %v", err)
	}
	for range 3 {
		if _, err := p.assign("b", servicePorts(1), nil); !errors.Is(err, errNoPorts) {
			t.Fatalf("%v", err)
		}
	}
	p.release("outside", nil)
	if _, err := p.assign("b", servicePorts(1), nil); !errors.Is(err, errNoPorts) {
		t.Errorf("a port outside the range was given back: %v", err)
	}
	p.release("a", map[servicePort]uint16{{"TCP", 1}: 100, {"TCP", 3}: 102})
	if b, err := p.assign("b", servicePorts(1), nil); err != nil || b[servicePort{"TCP", 1}] != 101 {
		t.Errorf("%v %v", b, err)
	}
}

// Services that find no port ask again every minute: with 5,000 of them each must not look at 10,000 numbers.
func BenchmarkPortsFull(b *testing.B) {
	p, err := NewPorts(PortRange{20000, 29999}, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range p.within.size() {
		if _, err := p.assign(fmt.Sprint(i), servicePorts(80), nil); err != nil {
			b.Fatal(err)
		}
	}
	wanted := servicePorts(80)
	for b.Loop() {
		if _, err := p.assign("late", wanted, nil); err == nil {
			b.Fatal("there is none")
		}
	}
}

// Whatever comes and goes, no two services ever have the same number, and what has one keeps it.
func TestPortsAreUnique(t *testing.T) {
	t.Parallel()
	p, _ := newPorts(t, 1000, 1063)
	rnd := rand.New(rand.NewPCG(3, 4))
	has := map[string]map[servicePort]uint16{}
	for range 3000 {
		name := string(rune('a' + rnd.IntN(26)))
		if rnd.IntN(3) == 0 {
			p.release(name, nil)
			delete(has, name)
			continue
		}
		var wanted []uint16
		for n := range uint16(1 + rnd.IntN(4)) {
			wanted = append(wanted, 80+n)
		}
		got, err := p.assign(name, servicePorts(wanted...), nil)
		if err != nil {
			continue
		}
		for port, n := range has[name] {
			if is, still := got[port]; still && is != n {
				t.Fatalf("%s: %v was %d, is %d", name, port, n, is)
			}
		}
		p.release(name, got)
		has[name] = got
		owners := map[uint16]string{}
		for name, ports := range has {
			for _, n := range ports {
				if other := owners[n]; other != "" {
					t.Fatalf("%d has %s and %s", n, name, other)
				}
				owners[n] = name
			}
		}
	}
}

func TestDerivedNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 63)
	seen := map[string]bool{}
	for _, kind := range []string{v1alpha1.DerivedImport, v1alpha1.DerivedTakeover, v1alpha1.DerivedPod} {
		for _, service := range []discovery.ServiceName{
			{Namespace: "default", Name: "shop"},
			{Namespace: "other", Name: "shop"},
			{Namespace: "default", Name: long},
			{Namespace: "default", Name: long[:62] + "y"},
			{Namespace: "a", Name: "b"},
		} {
			for _, pod := range []discovery.PodRef{{}, {Cluster: "a", Hostname: "b"}, {Cluster: "ab"}, {Cluster: "b", Hostname: "a"}} {
				name := derivedName(kind, service, pod)
				if len(name) > 63 || strings.Contains(name, "--") || name[0] < 'a' || name[0] > 'z' {
					t.Errorf("%q", name)
				}
				if seen[name] {
					t.Errorf("%q twice", name)
				}
				seen[name] = true
			}
		}
	}
	if got := importService(discovery.ServiceName{Namespace: "default", Name: "shop"}); !strings.HasPrefix(got, "ew-shop-import-") {
		t.Errorf("%q", got)
	}
}
