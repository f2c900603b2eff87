package translate

import (
	"slices"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Rules of a rateLimit that need requests are reported where no port has them.
func TestDoubtsOfRateLimit(t *testing.T) {
	t.Parallel()
	all, cart := v1alpha1.RateLimitRule{Quota: 1}, v1alpha1.RateLimitRule{Quota: 1}
	cart.Match.PathPrefixes = []string{"/cart"}
	limit := &v1alpha1.RateLimit{Rules: []v1alpha1.RateLimitRule{all, cart}}
	port := func(number uint32, r *v1alpha1.RateLimit) v1alpha1.PortSettings {
		return v1alpha1.PortSettings{Port: v1alpha1.PortSelector{Number: number}, RateLimit: r}
	}
	web, tcp := discovery.ServicePort{Port: 80, Protocol: discovery.TCP, HTTP: true}, discovery.ServicePort{Port: 5432, Protocol: discovery.TCP}
	udp := discovery.ServicePort{Port: 53, Protocol: discovery.UDP}
	type spec = v1alpha1.TrafficPolicySpec
	type ports = []discovery.ServicePort
	with := func(list ...v1alpha1.PortSettings) []v1alpha1.PortSettings { return list }
	const inPolicy, inPort = "spec.rateLimit.rules[1].match", "spec.portLevelSettings[1].rateLimit.rules[1].match"
	for name, c := range map[string]struct {
		ports ports
		spec  spec
		want  []string
	}{
		"HTTP":            {ports{web, tcp, udp}, spec{RateLimit: limit}, nil},
		"no TCP port":     {ports{udp}, spec{RateLimit: limit}, nil},
		"TCP":             {ports{tcp, udp}, spec{RateLimit: limit}, []string{inPolicy}},
		"port that is":    {ports{web, tcp}, spec{PortLevelSettings: with(port(80, limit))}, nil},
		"port that isn't": {ports{web, tcp}, spec{PortLevelSettings: with(port(80, nil), port(5432, limit))}, []string{inPort}},
		"the others":      {ports{web, tcp}, spec{RateLimit: limit, PortLevelSettings: with(port(80, nil))}, []string{inPolicy}},
	} {
		var got []string
		for _, err := range Doubts(&v1alpha1.TrafficPolicy{Spec: c.spec}, &discovery.Service{Ports: c.ports}) {
			got = append(got, err.Field)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
