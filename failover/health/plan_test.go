package health

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	port, three := uint32(9000), uint32(3)
	defaults := func(p plan) *plan {
		p.interval, p.timeout, p.unhealthy, p.healthy = 10*time.Second, time.Second, 3, 2
		return &p
	}
	for name, c := range map[string]struct {
		policy *v1alpha1.HealthCheck
		want   *plan
	}{
		"none": {nil, nil},
		"TCP":  {&v1alpha1.HealthCheck{TCP: &v1alpha1.TCPHealthCheck{}}, defaults(plan{kind: kindTCP})},
		"HTTP": {
			&v1alpha1.HealthCheck{HTTP: &v1alpha1.HTTPHealthCheck{Path: "/"}},
			defaults(plan{kind: kindHTTP, method: "GET", path: "/", expected: []statuses{{200, 299}}}),
		},
		"gRPC": {
			&v1alpha1.HealthCheck{GRPC: &v1alpha1.GRPCHealthCheck{Service: "a.B", Authority: "b"}},
			defaults(plan{kind: kindGRPC, service: "a.B", authority: "b"}),
		},
		"all": {
			&v1alpha1.HealthCheck{
				HTTP: &v1alpha1.HTTPHealthCheck{
					Path: "/", Host: "shop", Method: "HEAD",
					ExpectedStatuses: []intstr.IntOrString{intstr.FromInt32(204), intstr.FromString("300-399")},
				},
				Port: &port, Interval: &metav1.Duration{Duration: time.Minute}, Timeout: &metav1.Duration{Duration: time.Hour},
				UnhealthyThreshold: &three, HealthyThreshold: &three,
			},
			&plan{
				kind: kindHTTP, port: 9000, interval: time.Minute, timeout: time.Hour, unhealthy: 3, healthy: 3,
				method: "HEAD", path: "/", authority: "shop", expected: []statuses{{204, 204}, {300, 399}},
			},
		},
	} {
		if got := planOf(c.policy); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// Checked is what takes connections on a TCP port that gets calls here, and is not the proxy itself.
func TestPlans(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddrPort
	check := &v1alpha1.HealthCheck{TCP: &v1alpha1.TCPHealthCheck{}}
	service := func() *discovery.Service {
		return &discovery.Service{
			Ports: []discovery.ServicePort{
				{Port: 80, Protocol: discovery.TCP}, {Port: 53, Protocol: discovery.UDP}, {Port: 81, Protocol: discovery.TCP},
			},
			Endpoints: map[uint16][]discovery.Endpoint{
				80: {
					{Address: addr("10.0.0.1:80"), Ready: true},
					{Address: addr("10.0.0.2:80")},
					{Address: addr("10.0.0.3:80"), Terminating: true},
					{Address: addr("10.9.0.1:80"), Ready: true},
				},
				53: {{Address: addr("10.0.0.1:53"), Ready: true}},
				81: {{Address: addr("10.0.0.1:81"), Ready: true}},
			},
			Listeners: []discovery.Listener{{Address: addr("10.9.0.1:80"), Port: 80}},
			Policy:    &v1alpha1.TrafficPolicySpec{HealthCheck: check},
		}
	}
	for name, c := range map[string]struct {
		edit func(*discovery.Service)
		want []string
	}{
		"all":       {func(*discovery.Service) {}, []string{"10.0.0.1:80", "10.0.0.1:81", "10.0.0.3:80"}},
		"no policy": {func(s *discovery.Service) { s.Policy = nil }, nil},
		"no check":  {func(s *discovery.Service) { s.Policy = &v1alpha1.TrafficPolicySpec{} }, nil},
		"no calls":  {func(s *discovery.Service) { s.Listeners = nil }, nil},
		"exported": {func(s *discovery.Service) {
			s.Listeners, s.Export = nil, &discovery.Export{}
		}, []string{"10.0.0.1:80", "10.0.0.1:81", "10.0.0.3:80", "10.9.0.1:80"}},
		"one port": {func(s *discovery.Service) {
			s.Policy = &v1alpha1.TrafficPolicySpec{PortLevelSettings: []v1alpha1.PortSettings{{
				Port: v1alpha1.PortSelector{Number: 81}, HealthCheck: check,
			}}}
		}, []string{"10.0.0.1:81"}},
	} {
		s := service()
		c.edit(s)
		var got []string
		for at := range maps.Keys(plansOf(s)) {
			got = append(got, at.endpoint.String())
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	proxied := service()
	proxied.ProxyProtocol = true
	proxied.Policy = &v1alpha1.TrafficPolicySpec{HealthCheck: check, PortLevelSettings: []v1alpha1.PortSettings{{
		Port: v1alpha1.PortSelector{Number: 81}, HealthCheck: &v1alpha1.HealthCheck{TCP: &v1alpha1.TCPHealthCheck{}, Port: new(uint32(9))},
	}}}
	for at, p := range plansOf(proxied) {
		if p.proxied != (at.port == 80) { // not on a port of its own for health
			t.Errorf("%v: %t", at, p.proxied)
		}
	}
	if got := plansOf(nil); got != nil {
		t.Error(got)
	}
}
