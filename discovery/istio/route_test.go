package istio

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func share(host string, weight int32, port uint32) Share {
	s := Share{Destination: Destination{Host: host}, Weight: weight}
	if port != 0 {
		s.Destination.Port = &v1alpha1.PortSelector{Number: port}
	}
	return s
}

func slow(hosts []string, shares ...Share) *VirtualService {
	v := &VirtualService{Spec: RouteSpec{Hosts: hosts, HTTP: []HTTPRoute{{Route: shares, Timeout: &metav1.Duration{Duration: time.Second}}}}}
	v.Namespace, v.Name = "shop", "slow"
	return v
}

// Calls go to the service that was called, on the port that was called: what leads them elsewhere is refused.
func TestDestinations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given *VirtualService
		want  string // the field that is refused
	}{
		"itself":                  {slow([]string{"a"}, share("a.shop.svc.cluster.local", 0, 0)), ""},
		"one of two hosts":        {slow([]string{"a", "b"}, share("a", 0, 0)), "spec.http[0].route[0].destination.host"},
		"both forms of one":       {slow([]string{"a", "a.shop.svc.cluster.local"}, share("a", 0, 0)), ""},
		"a weight of 0":           {slow([]string{"a"}, share("a", 100, 0), share("b", 0, 0)), ""},
		"all weights of 0":        {slow([]string{"a"}, share("a", 0, 0), share("a", 0, 0)), "spec.http[0].route"},
		"another, and no weights": {slow([]string{"a"}, share("a", 0, 0), share("b", 0, 0)), "spec.http[0].route"},
		"alone, of no weight":     {slow([]string{"a"}, share("b", 0, 0)), "spec.http[0].route[0].destination.host"},
		"a port":                  {slow([]string{"a"}, share("a", 0, 81)), ""},
		"a port outside":          {slow([]string{"db.example"}, share("db.example", 0, 81)), ""}, // Convert knows
	} {
		got := ""
		for _, f := range Check(c.given, nil) {
			if f.Effect == Refused && got == "" {
				got = f.Field
			}
		}
		if got != c.want {
			t.Errorf("%s: %q is refused, want %q", name, got, c.want)
		}
	}
}

// The port of a destination is that of the Service in most manifests, which have it all the same: they are used, with a finding.
func TestPortOfAService(t *testing.T) {
	t.Parallel()
	found := Check(slow([]string{"a"}, share("a", 0, 81)), nil)
	if len(found) != 1 || found[0].Effect != Changed || found[0].Field != "spec.http[0].route[0].destination.port" {
		t.Errorf("%+v", found)
	}
}

func entryFor(namespace, name string, hosts []string, ports ...uint32) *ServiceEntry {
	e := &ServiceEntry{Spec: EntrySpec{Hosts: hosts, Resolution: "DNS"}}
	for _, p := range ports {
		e.Spec.Ports = append(e.Spec.Ports, v1alpha1.ExternalPort{Number: p, Name: "p" + string(rune('a'+len(e.Spec.Ports))), Protocol: "HTTP"})
	}
	e.Namespace, e.Name = namespace, name
	return e
}

// The port of a destination may be named if the service has no other one.
func TestDestinationPortOutside(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ports   []uint32
		applies bool
	}{"the only one": {[]uint32{80}, true}, "another": {[]uint32{81}, false}, "one of two": {[]uint32{80, 81}, false}} {
		hosts := []string{"db.example"}
		got := Convert([]metav1.Object{slow(hosts, share("db.example", 0, 80)), entryFor("shop", "db", hosts, c.ports...)})
		refused := len(got.Found) == 1 && got.Found[0].Effect == Refused && got.Found[0].Field == "spec.http[0].route[0].destination.port"
		if (len(got.Policies) == 1) != c.applies || refused == c.applies {
			t.Errorf("%s: %+v %+v", name, got.Policies, got.Found)
		}
	}
}

// Where Istio's default or nothing would be meant, Eastway's default is not.
func TestRetryOn(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"": istioRetryOn, "503": "503", "envoy-ratelimited": harmless, "retriable-status-codes": harmless, "5xx,retriable-headers": "5xx",
	} {
		var f findings
		if got := retries(&f, "spec", &HTTPRetry{Attempts: 1, RetryOn: given}); got.RetryOn != want {
			t.Errorf("%q: %q, want %q", given, got.RetryOn, want)
		}
	}
	var f findings
	if got := retries(&f, "spec", &HTTPRetry{}); got.RetryOn != "" {
		t.Errorf("without attempts: %q", got.RetryOn)
	}
}

// A deep field that no version of Istio's API is known to have has no effect, which may matter.
func TestUnknownDeepField(t *testing.T) {
	t.Parallel()
	got := Check(ruleFor("shop", "db", "db", 1), []Unknown{{Field: "spec.trafficPolicy.connectionPool.new"}})
	if len(got) != 1 || got[0].Effect != Changed {
		t.Errorf("%+v", got)
	}
}
