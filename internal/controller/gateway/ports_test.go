package gateway

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/entry/route"
)

type pairs = map[uint16]uint16

func TestAssign(t *testing.T) {
	t.Parallel()
	within := span{100, 103}
	for name, test := range map[string]struct {
		ports []uint16
		kept  pairs
		taken []uint16
		want  pairs
		fresh bool
		short []uint16
	}{
		"new ones get the lowest":          {ports: []uint16{80, 443}, want: pairs{80: 100, 443: 101}, fresh: true},
		"others' are left out":             {ports: []uint16{80, 443}, taken: []uint16{100, 102}, want: pairs{80: 101, 443: 103}, fresh: true},
		"what there is stays":              {ports: []uint16{80, 443}, kept: pairs{80: 102, 443: 100}, want: pairs{80: 102, 443: 100}},
		"a new one beside those that stay": {ports: []uint16{80, 443}, kept: pairs{443: 100}, want: pairs{80: 101, 443: 100}, fresh: true},
		"what is no longer wanted is left": {ports: []uint16{80}, kept: pairs{80: 101, 443: 100}, want: pairs{80: 101}},
		"outside the range is replaced":    {ports: []uint16{80, 81}, kept: pairs{80: 99, 81: 104}, want: pairs{80: 100, 81: 101}, fresh: true},
		"two ports with one number":        {ports: []uint16{80, 81}, kept: pairs{80: 102, 81: 102}, want: pairs{80: 102, 81: 100}, fresh: true},
		"too few are left": {
			ports: []uint16{80, 81}, taken: []uint16{100, 101, 103},
			want: pairs{80: 102}, fresh: true, short: []uint16{81},
		},
		"none is left":                      {ports: []uint16{80}, taken: []uint16{100, 101, 102, 103}, want: pairs{}, short: []uint16{80}},
		"none is left, what there is stays": {ports: []uint16{80}, kept: pairs{80: 101}, taken: []uint16{100, 102, 103}, want: pairs{80: 101}},
		"a later port keeps what it has":    {ports: []uint16{1, 2}, kept: pairs{2: 100}, want: pairs{1: 101, 2: 100}, fresh: true},
		"a number that is taken and one kept": {
			ports: []uint16{1, 2}, kept: pairs{2: 101}, taken: []uint16{100},
			want: pairs{1: 102, 2: 101}, fresh: true,
		},
	} {
		taken := make(map[uint16]bool)
		for _, n := range test.taken {
			taken[n] = true
		}
		got := within.assign(test.ports, test.kept, taken, 0)
		if !maps.Equal(got.numbers, test.want) || got.fresh != test.fresh || !slices.Equal(got.short, test.short) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := (span{65534, 65535}).assign([]uint16{1, 2, 3}, nil, nil, 0); len(got.numbers) != 2 || !slices.Equal(got.short, []uint16{3}) {
		t.Errorf("at the end of all numbers: %+v", got)
	}
}

// The search for a number begins elsewhere for each Gateway, and goes round; entries open only so many ports.
func TestAssignFrom(t *testing.T) {
	t.Parallel()
	within := span{100, 103}
	got := within.assign([]uint16{80, 81, 82}, nil, map[uint16]bool{103: true}, 6)
	if want := (pairs{80: 102, 81: 100, 82: 101}); !maps.Equal(got.numbers, want) {
		t.Errorf("from 102 on: %+v", got)
	}
	wide, taken := span{20000, 29999}, make(map[uint16]bool)
	for n := range uint16(route.MaxPorts - 1) {
		taken[20000+n] = true
	}
	if got := wide.assign([]uint16{80, 81}, nil, taken, 0); len(got.numbers) != 1 || !slices.Equal(got.short, []uint16{81}) {
		t.Errorf("of the last port that entries open: %+v", got)
	}
	a, b := gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{UID: "a"}}, gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{UID: "b"}}
	if startOf(&a) == startOf(&b) {
		t.Error("two Gateways begin at the same number")
	}
}

func remembering(name string, age int64, numbers pairs) corev1.Service {
	s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(1_800_000_000-age, 0)}}
	for port, n := range numbers {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: int32(port), TargetPort: intstr.FromInt32(int32(n))})
	}
	return s
}

func TestRemembered(t *testing.T) {
	t.Parallel()
	all := []corev1.Service{
		remembering("old", 3, pairs{80: 100}),
		remembering("mine", 2, pairs{80: 100, 81: 101, 82: 102, 83: 103}),
		remembering("nine", 2, pairs{80: 102}),
		remembering("also", 2, pairs{80: 103}),
		remembering("young", 1, pairs{80: 101, 90: 109}),
		{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http")}}}},
	}
	kept, taken := remembered(all, "mine")
	if !maps.Equal(kept, pairs{81: 101, 82: 102}) {
		t.Errorf("the older one keeps a number, of the same age the first by name: %v", kept)
	}
	if want := map[uint16]bool{100: true, 101: true, 102: true, 103: true, 109: true}; !maps.Equal(taken, want) {
		t.Errorf("taken: %v", taken)
	}
	if kept, taken := remembered(all, "new"); len(kept) != 0 || len(taken) != 5 {
		t.Errorf("%v, %v", kept, taken)
	}
}

// Services come, change and go at random. Whatever the order, no two have a number in common, none changes while its port is wanted, and
// free ones are used; when they run out, Services are short, and are helped when others go.
func TestAssignAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		within := span{uint16(100 + random.IntN(20)), uint16(120 + random.IntN(20))}
		services := make(map[string]pairs)
		for step := range 200 {
			name := fmt.Sprint("s", random.IntN(12))
			if random.IntN(4) == 0 {
				delete(services, name)
				continue
			}
			var ports []uint16
			for range random.IntN(5) {
				ports = append(ports, uint16(80+random.IntN(6)))
			}
			slices.Sort(ports)
			ports = slices.Compact(ports)
			list := make([]corev1.Service, 0, len(services))
			for other, numbers := range services {
				list = append(list, remembering(other, 0, numbers))
			}
			kept, taken := remembered(list, name)
			got := within.assign(ports, kept, taken, random.Uint32())
			if len(got.numbers)+len(got.short) != len(ports) {
				t.Fatalf("seed %d, step %d: %d ports, %+v", seed, step, len(ports), got)
			}
			for port, was := range services[name] {
				if is, ok := got.numbers[port]; slices.Contains(ports, port) && (!ok || is != was) {
					t.Fatalf("seed %d, step %d: port %d of %s was at %d, is at %d", seed, step, port, name, was, is)
				}
			}
			services[name] = got.numbers
			checkApart(t, within, services, len(got.short) > 0)
			if t.Failed() {
				t.Fatalf("seed %d, step %d: %v", seed, step, services)
			}
		}
	}
}

// checkApart: the Services have numbers of their own within the range; full: there is no other one.
func checkApart(t *testing.T, within span, services map[string]pairs, full bool) {
	t.Helper()
	owners := make(map[uint16]string)
	for name, numbers := range services {
		for port, n := range numbers {
			at := fmt.Sprint(name, ":", port)
			if other := owners[n]; other != "" {
				t.Errorf("%d is that of %s and %s", n, at, other)
			}
			if n < within.first || n > within.last {
				t.Errorf("%s has %d, outside of %v", at, n, within)
			}
			owners[n] = at
		}
	}
	if size := int(within.last) - int(within.first) + 1; full && len(owners) != size {
		t.Errorf("short of numbers, with %d of %d in use", len(owners), size)
	}
}

func TestServed(t *testing.T) {
	t.Parallel()
	l := func(port int32, protocol gatewayv1.ProtocolType) gatewayv1.Listener {
		return gatewayv1.Listener{Port: port, Protocol: protocol}
	}
	got := served([]gatewayv1.Listener{
		l(443, gatewayv1.HTTPSProtocolType), l(80, gatewayv1.HTTPProtocolType), l(443, gatewayv1.HTTPSProtocolType),
		l(53, gatewayv1.UDPProtocolType), l(5432, gatewayv1.TCPProtocolType), l(8443, gatewayv1.TLSProtocolType),
		l(0, gatewayv1.HTTPProtocolType), l(70000, gatewayv1.HTTPProtocolType), l(81, "example.com/own"),
	})
	if !reflect.DeepEqual(got, []uint16{80, 443}) {
		t.Errorf("%v", got)
	}
}
