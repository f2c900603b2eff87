package main

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/internal/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addr(text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(text)
}

// The oldest keeps its address; no Service gets an address twice, or another's.
func TestAssign(t *testing.T) {
	t.Parallel()
	const first, last = "192.0.2.128", "192.0.2.130"
	old, young := time.Unix(1, 0), time.Unix(2, 0)
	for name, test := range map[string]struct {
		services []service
		want     map[string]string
	}{
		"new": {
			[]service{{title: "b", created: young}, {title: "a", created: old}},
			map[string]string{"a": first, "b": "192.0.2.129"},
		},
		"kept": {
			[]service{{title: "a", created: old}, {title: "b", created: young, told: addr(first)}},
			map[string]string{"a": "192.0.2.129", "b": first},
		},
		"twice": {
			[]service{{title: "b", created: young, told: addr(last)}, {title: "a", created: old, told: addr(last)}},
			map[string]string{"a": last, "b": first},
		},
		"foreign": {
			[]service{{title: "a", told: addr("192.0.2.131")}, {title: "b", told: addr("192.0.2.127")}},
			map[string]string{"a": first, "b": "192.0.2.129"},
		},
		"too many": {
			[]service{{title: "a"}, {title: "b"}, {title: "c"}, {title: "d"}},
			map[string]string{"a": first, "b": "192.0.2.129", "c": last, "d": ""},
		},
	} {
		for _, s := range assign(test.services, addr(first), addr(last)) {
			if s.address != addr(test.want[s.title]) {
				t.Errorf("%s: %s got %s, want %s", name, s.title, s.address, test.want[s.title])
			}
		}
	}
}

// Health is believed after it has lasted as long as the service says.
func TestHealthLag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		well := true
		h := newHealth(func(context.Context, string) bool { return well })
		at := []check{{url: "prompt"}, {url: "late", lag: 10 * time.Second}}
		began := time.Now()
		for _, step := range []struct {
			seconds      int
			well         bool
			prompt, late bool
		}{
			{0, true, true, true},
			{1, false, false, true},
			{10, false, false, true},
			{11, false, false, false},
			{12, true, true, false},
			{13, false, false, false}, // starts again
			{14, true, true, false},
			{23, true, true, false},
			{24, true, true, true},
		} {
			bubble.Pass(time.Until(began.Add(time.Duration(step.seconds) * time.Second)))
			well = step.well
			h.check(t.Context(), at)
			if h.healthy(at[0]) != step.prompt || h.healthy(at[1]) != step.late {
				t.Errorf("after %d s: prompt %t, late %t", step.seconds, h.healthy(at[0]), h.healthy(at[1]))
			}
		}
		h.check(t.Context(), nil)
		if len(h.verdicts) != 0 {
			t.Error("a check that is not asked for any more is remembered")
		}
	})
}

func TestTranslate(t *testing.T) {
	t.Parallel()
	created := time.Unix(77, 0)
	got := translate(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: "svc", CreationTimestamp: metav1.NewTime(created),
			Annotations: map[string]string{annotationLag: "10s", annotationPick: "first"},
		},
		Spec: corev1.ServiceSpec{
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, HealthCheckNodePort: 30009,
			Ports: []corev1.ServicePort{
				{Protocol: corev1.ProtocolTCP, Port: 443, NodePort: 30001},
				{Protocol: corev1.ProtocolUDP, Port: 443, NodePort: 30002},
				{Protocol: corev1.ProtocolSCTP, Port: 5, NodePort: 30003},
				{Protocol: corev1.ProtocolTCP, Port: 80},
			},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}}},
	})
	want := service{
		namespace: "ns", title: "svc", created: created, told: addr("192.0.2.1"), lag: 10 * time.Second, pickFirst: true, healthPort: 30009,
		ports: []port{{"tcp", 443, 30001}, {"udp", 443, 30002}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if lag := translate(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationLag: "-1s"}}}).lag; lag != 0 {
		t.Errorf("a lag of %v", lag)
	}
}

// cloud is an API server and a gateway.
type cloud struct {
	all     []service
	at      []node
	down    error
	told    map[string]netip.Addr
	applied []forward
}

func (c *cloud) services(context.Context) ([]service, error) { return c.all, c.down }
func (c *cloud) nodes(context.Context) ([]node, error)       { return c.at, c.down }

func (c *cloud) setAddress(_ context.Context, s service, address netip.Addr) error {
	c.told[s.title] = address
	return c.down
}

func (c *cloud) apply(_ context.Context, all []forward) error {
	c.applied = all
	return nil
}

func TestStep(t *testing.T) {
	t.Parallel()
	c := &cloud{
		told: make(map[string]netip.Addr),
		all: []service{
			{title: "local", ports: []port{{"tcp", 80, 30001}}, healthPort: 30009},
			{title: "any", ports: []port{{"tcp", 80, 30002}, {"udp", 80, 30003}}},
			{title: "one", ports: []port{{"tcp", 80, 30004}}, pickFirst: true},
		},
		at: []node{{"b", addr("192.0.2.12")}, {"a", addr("192.0.2.11")}},
	}
	dead := map[string]bool{"http://192.0.2.11:30009/healthz": true}
	b := &balancer{
		api: c, apply: c.apply, first: addr("192.0.2.128"), last: addr("192.0.2.130"), log: zap.NewNop(),
		health: newHealth(func(_ context.Context, url string) bool { return !dead[url] }),
	}
	check := func(why string, want ...forward) {
		t.Helper()
		if !reflect.DeepEqual(c.applied, want) {
			t.Errorf("%s:\n%v\nwant\n%v", why, c.applied, want)
		}
	}
	first, second := addr("192.0.2.11"), addr("192.0.2.12")
	anyIP, localIP, oneIP := addr("192.0.2.128"), addr("192.0.2.129"), addr("192.0.2.130")
	if err := b.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(
		"at first",
		forward{anyIP, "tcp", 80, []netip.Addr{first, second}, 30002},
		forward{anyIP, "udp", 80, []netip.Addr{first, second}, 30003},
		forward{localIP, "tcp", 80, []netip.Addr{second}, 30001},
		forward{oneIP, "tcp", 80, []netip.Addr{first}, 30004},
	)
	if want := map[string]netip.Addr{"any": anyIP, "local": localIP, "one": oneIP}; !reflect.DeepEqual(c.told, want) {
		t.Errorf("told %v, want %v", c.told, want)
	}
	// Without the API server nodes are still watched.
	c.down = errors.New("no API server")
	dead["http://192.0.2.11:10256/healthz"] = true
	if err := b.step(t.Context()); !errors.Is(err, c.down) {
		t.Errorf("without the API server: %v", err)
	}
	check(
		"a node lost without API server",
		forward{anyIP, "tcp", 80, []netip.Addr{second}, 30002},
		forward{anyIP, "udp", 80, []netip.Addr{second}, 30003},
		forward{localIP, "tcp", 80, []netip.Addr{second}, 30001},
		forward{oneIP, "tcp", 80, []netip.Addr{second}, 30004},
	)
}

func TestRules(t *testing.T) {
	t.Parallel()
	got := rules([]forward{
		{addr("192.0.2.128"), "tcp", 443, []netip.Addr{addr("192.0.2.11"), addr("192.0.2.12")}, 30001},
		{addr("192.0.2.128"), "udp", 443, []netip.Addr{addr("192.0.2.11")}, 30002},
		{addr("192.0.2.129"), "tcp", 80, nil, 30003},
	}, netip.MustParsePrefix("192.0.2.0/24"))
	for _, line := range []string{
		"ip daddr 192.0.2.128 tcp dport 443 dnat to numgen random mod 2 map { 0 : 192.0.2.11, 1 : 192.0.2.12 }:30001\n",
		"ip daddr 192.0.2.128 udp dport 443 dnat to 192.0.2.11:30002\n",
		"ip saddr 192.0.2.0/24 ct status dnat masquerade\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
	if strings.Contains(got, "192.0.2.129") {
		t.Errorf("what has no node is forwarded:\n%s", got)
	}
	got = rules([]forward{
		{addr("2001:db8::80"), "tcp", 443, []netip.Addr{addr("2001:db8::11"), addr("2001:db8::12")}, 30001},
		{addr("2001:db8::80"), "udp", 443, []netip.Addr{addr("2001:db8::11")}, 30002},
	}, netip.MustParsePrefix("2001:db8::/64"))
	for _, line := range []string{
		"table ip6 balancer {\n",
		"ip6 daddr 2001:db8::80 tcp dport 443 dnat to numgen random mod 2 map { 0 : 2001:db8::11, 1 : 2001:db8::12 }:30001\n",
		"ip6 daddr 2001:db8::80 udp dport 443 dnat to [2001:db8::11]:30002\n",
		"ip6 saddr 2001:db8::/64 ct status dnat masquerade\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
}
