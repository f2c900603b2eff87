package balance

import (
	"slices"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/status"
)

func scoped(scope string) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{Scope: scope}
}

// scopeCases are those of the policy's scope; TestExplain has them.
func scopeCases() map[string]explainCase {
	all := func(tw *town) {
		tw.local(abroad, 1).peer("near", here).peer("both", shanghai, beside).peer("far", shanghai)
	}
	return map[string]explainCase{
		"scope cluster": {policy: scoped(v1alpha1.ScopeCluster), build: all, want: map[string]string{
			"10.0.0.0:80": "100 failover: region ap-northeast-1", "near": "0 outside the policy's scope",
			"both": "0 outside the policy's scope", "far": "0 outside the policy's scope",
		}},
		"scope region": {policy: scoped(v1alpha1.ScopeRegion), build: all, want: map[string]string{
			"10.0.0.0:80": "0 outside the policy's scope", "near": "100 failover: peer in own zone",
			"both": "0 failover: peer in own region after", "far": "0 outside the policy's scope",
		}},
		"scope clusterset": {policy: scoped(v1alpha1.ScopeClusterSet), build: func(tw *town) { tw.peer("far", shanghai) }, want: map[string]string{
			"far": "100 failover: peer in region cn-shanghai",
		}},
		"nothing in scope": {policy: scoped(v1alpha1.ScopeCluster), build: func(tw *town) { tw.peer("near", here) }, want: map[string]string{
			"near": "0 outside the policy's scope",
		}},
	}
}

// TestScopeOfCallers: it is that of the caller's cluster, and holds for the name of the cluster set too.
func TestScopeOfCallers(t *testing.T) {
	t.Parallel()
	for scope, c := range map[string]struct {
		policy *v1alpha1.TrafficPolicySpec
		caller Caller
		want   []string
	}{
		"cluster":                   {scoped(v1alpha1.ScopeCluster), Caller{Locality: here}, []string{"10.0.0.0:80"}},
		"cluster, by its set":       {scoped(v1alpha1.ScopeCluster), Caller{Locality: here, ClusterSet: true}, []string{"10.0.0.0:80"}},
		"cluster, remote":           {scoped(v1alpha1.ScopeCluster), Caller{Locality: shanghai, Remote: true}, []string{"10.0.0.0:80"}},
		"region, remote":            {scoped(v1alpha1.ScopeRegion), Caller{Locality: shanghai, Remote: true}, []string{"10.0.0.0:80"}},
		"region, of another":        {scoped(v1alpha1.ScopeRegion), Caller{Locality: shanghai}, []string{"far"}},
		"region that is not known":  {scoped(v1alpha1.ScopeRegion), Caller{}, nil},
		"cluster, zone not known":   {scoped(v1alpha1.ScopeCluster), Caller{}, []string{"10.0.0.0:80"}},
		"no scope":                  {scoped(""), Caller{Locality: here}, []string{"10.0.0.0:80", "far"}},
		"clusterset is the default": {scoped(v1alpha1.ScopeClusterSet), Caller{Locality: here}, []string{"10.0.0.0:80", "far"}},
	} {
		tw := newTown(c.policy).local(here, 1).peer("far", shanghai)
		tw.svc.Export = &discovery.Export{}
		tw.apply()
		var got []string
		for _, one := range tw.table.Candidates(Key{Service: echoName, Port: servicePort}, c.caller) {
			got = append(got, one.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", scope, got, c.want)
		}
	}
}

// TestStatusOutOfScope: what no call of the own cluster reaches is not healthy.
func TestStatusOutOfScope(t *testing.T) {
	t.Parallel()
	for scope, want := range map[string]map[string]string{
		v1alpha1.ScopeCluster:    {"10.0.0.0:80": status.Healthy, "near": status.OutOfScope, "far": status.OutOfScope, "empty": status.OutOfScope},
		v1alpha1.ScopeRegion:     {"10.0.0.0:80": status.OutOfScope, "near": status.Healthy, "far": status.OutOfScope, "empty": status.OutOfScope},
		v1alpha1.ScopeClusterSet: {"10.0.0.0:80": status.Healthy, "near": status.Healthy, "far": status.Healthy, "empty": status.NotReady},
	} {
		tw := newTown(scoped(scope)).local(abroad, 1).peer("near", here).peer("far", shanghai).peer("empty")
		tw.apply()
		for _, e := range tw.table.Endpoints(echoName) {
			if e.Status != want[e.Address] {
				t.Errorf("%s: %s is %s, want %s", scope, e.Address, e.Status, want[e.Address])
			}
		}
	}
}
