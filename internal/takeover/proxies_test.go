package takeover

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/eastway/eastway/internal/takeover/report"
)

func endpoint(address, node, zone, pod string) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{address}}
	if node != "" {
		e.NodeName = &node
	}
	if zone != "" {
		e.Zone = &zone
	}
	if pod != "" {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: pod}
	}
	return e
}

func slice(port int32, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{Endpoints: endpoints}
	if port != 0 {
		name := healthPortName
		s.Ports = []discoveryv1.EndpointPort{{}, {Name: &name, Port: &port}}
	}
	return s
}

func TestProxiesOf(t *testing.T) {
	t.Parallel()
	all := []*discoveryv1.EndpointSlice{
		slice(15020, endpoint("10.0.0.2", "n2", "z2", "b"), endpoint("10.0.0.1", "n1", "", "a")),
		slice(0, endpoint("fd00::1", "n1", "z1", "a"), endpoint("proxy.example.com", "", "", "")),
		slice(15020, endpoint("10.0.0.2", "n2", "z2", "b"), endpoint("10.0.0.3", "", "", "")), // one moves between slices
	}
	nodes := map[string]report.Locality{"n1": {Node: "n1", Zone: "z1", Region: "r"}}
	want := []Proxy{
		{Address: addr("10.0.0.1"), Health: 15020, Pod: "a", Locality: report.Locality{Node: "n1", Zone: "z1", Region: "r"}},
		{Address: addr("10.0.0.2"), Health: 15020, Pod: "b", Locality: report.Locality{Node: "n2", Zone: "z2", Region: ""}},
		{Address: addr("10.0.0.3"), Health: 15020},
		{Address: addr("fd00::1"), Health: 9, Pod: "a", Locality: report.Locality{Node: "n1", Zone: "z1", Region: "r"}},
	}
	if got := proxiesOf(all, 9, nodes); !reflect.DeepEqual(got, want) {
		t.Errorf("proxiesOf =\n%+v\nwant\n%+v", got, want)
	}
	if got := nodesOf(all); !reflect.DeepEqual(got, []string{"n1", "n2"}) {
		t.Errorf("nodesOf = %v", got)
	}
	for i, s := range all {
		trimmed, err := trimSlice(s)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = trimmed.(*discoveryv1.EndpointSlice)
	}
	if got := proxiesOf(all, 9, nodes); !reflect.DeepEqual(got, want) {
		t.Errorf("after trimming proxiesOf =\n%+v\nwant\n%+v", got, want)
	}
}
