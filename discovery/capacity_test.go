package discovery

import (
	"math"
	"slices"
	"testing"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/hashtrie"
)

func capacityExport() *export {
	return &export{endpoints: Endpoints{Rows: []Readiness{
		{Locality: Locality{Region: "r", Zone: "z"}, Port: 80, Ready: 2, Total: 3, InFlight: 100},
		{Locality: Locality{Region: "r", Zone: "z"}, Port: 81, Ready: 2, Total: 3},
	}}}
}

// Peers get the capacity that the policy has for each port, whichever policy a service has, and again when only that changes.
func TestCapacityIsExported(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	policy := func(all, port81 uint32) *v1alpha1.TrafficPolicySpec {
		p := &v1alpha1.TrafficPolicySpec{PortLevelSettings: []v1alpha1.PortSettings{{Port: v1alpha1.PortSelector{Number: 81}}}}
		if all > 0 {
			p.Capacity = &v1alpha1.Capacity{MaxInFlightPerEndpoint: all}
		}
		if port81 > 0 {
			p.PortLevelSettings[0].Capacity = &v1alpha1.Capacity{MaxInFlightPerEndpoint: port81}
		}
		return p
	}
	s := newService(echo, 1)
	s.Ports = append(s.Ports, ServicePort{Port: 81, Protocol: TCP})
	s.Endpoints[81] = s.Endpoints[80]
	var has sent
	for i, step := range []struct {
		policies map[ServiceName]*v1alpha1.TrafficPolicySpec
		want     []uint32 // of ports 80 and 81; nil: nothing is sent
	}{
		{nil, []uint32{0, 0}},
		{map[ServiceName]*v1alpha1.TrafficPolicySpec{echo: policy(100, 7)}, []uint32{100, 7}},
		{map[ServiceName]*v1alpha1.TrafficPolicySpec{echo: policy(100, 7)}, nil},
		{map[ServiceName]*v1alpha1.TrafficPolicySpec{echo: policy(50, 0)}, []uint32{50, 0}},
		{map[ServiceName]*v1alpha1.TrafficPolicySpec{{Namespace: echo.Namespace}: policy(20, 20)}, []uint32{20, 20}},
		{map[ServiceName]*v1alpha1.TrafficPolicySpec{{}: policy(math.MaxUint32, 0)}, []uint32{v1alpha1.MaxInFlight, 0}},
		{nil, []uint32{0, 0}},
	} {
		l := localWith([]string{"b"})
		l.Services, l.Policies = l.Services.With(echo, s), hashtrie.Of(step.policies)
		c.SetLocal(l)
		d, ok, _ := c.deltaFor("b", &has)
		var got []uint32
		if ok {
			for _, r := range d.changes[0].export.endpoints.Rows {
				got = append(got, r.InFlight)
			}
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("step %d: peers get %v, want %v", i, got, step.want)
		}
	}
}

// What a peer claims is bounded; one that does not know the field claims nothing.
func TestClaimedCapacity(t *testing.T) {
	t.Parallel()
	for claimed, want := range map[uint32]uint32{0: 0, 1: 1, v1alpha1.MaxInFlight: v1alpha1.MaxInFlight, math.MaxUint32: v1alpha1.MaxInFlight} {
		got, err := decodeRow("row", &catalogpb.Readiness_Row{Port: 80, Ready: 1, Total: 1, MaxInFlightPerEndpoint: claimed})
		if err != nil || got.InFlight != want {
			t.Errorf("%d is taken as %d, %v; want %d", claimed, got.InFlight, err, want)
		}
	}
}
