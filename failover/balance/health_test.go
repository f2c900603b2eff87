package balance

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/status"
)

// unhealthy has endpoints fail their check.
func (tw *town) unhealthy(which ...int) *town {
	for _, i := range which {
		tw.svc.Endpoints[servicePort][i].Unhealthy = "GET /: 503"
	}
	return tw
}

func minHealth(percent int32) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{OutlierDetection: &v1alpha1.OutlierDetection{MinHealthPercent: &percent}}
}

// healthCases are those of health checks; TestExplain has them.
func healthCases() map[string]explainCase {
	return map[string]explainCase{
		"unhealthy": {build: func(tw *town) { tw.local(here, 1).local(beside, 1).unhealthy(0) }, want: map[string]string{
			"10.0.0.0:80": "0 fails its health check: GET /: 503", "10.0.0.1:80": "100 failover: own region, nothing nearer serves",
		}},
		"all unhealthy, a peer is not": {build: func(tw *town) { tw.local(here, 2).peer("far", shanghai).unhealthy(0, 1) }, want: map[string]string{
			"10.0.0.0:80": "0 fails its health check", "10.0.0.1:80": "0 fails its health check", "far": "100 failover: peer in region cn-shanghai",
		}},
		"all unhealthy": {build: func(tw *town) { tw.local(here, 1).local(beside, 1).unhealthy(0, 1) }, want: map[string]string{
			"10.0.0.0:80": "100 last resort: nothing else is left; fails its health check: GET /: 503",
			"10.0.0.1:80": "0 failover: own region after own zone; fails its health check",
		}},
		"unhealthy and ejected": {
			build:  func(tw *town) { tw.local(here, 2).unhealthy(0) },
			change: map[Address]func(*target){localKey(0): func(t *target) { t.state, t.kind = Ejected, LocalFailure }},
			want:   map[string]string{"10.0.0.0:80": "0 ejected: local", "10.0.0.1:80": "100 own zone"},
		},
		"too few are healthy": {
			policy: minHealth(50), build: func(tw *town) { tw.local(here, 3).unhealthy(0, 1) },
			want: map[string]string{
				"10.0.0.0:80": "33 own zone; fails its health check, but fewer than minHealthPercent 50 pass: all are used",
				"10.0.0.1:80": "33 own zone; fails", "10.0.0.2:80": "33 own zone",
			},
		},
		"enough are healthy": {
			policy: minHealth(50), build: func(tw *town) { tw.local(here, 2).unhealthy(0) },
			want: map[string]string{"10.0.0.0:80": "0 fails its health check", "10.0.0.1:80": "100 own zone"},
		},
	}
}

// For callers in other clusters, unhealthy endpoints are the last resort too; status shows why.
func TestUnhealthyForPeers(t *testing.T) {
	t.Parallel()
	tw := newTown(nil).local(here, 1).local(beside, 1).unhealthy(0)
	tw.svc.Endpoints[servicePort][1].Terminating, tw.svc.Endpoints[servicePort][1].Ready = true, false
	tw.apply()
	got := tw.table.Candidates(Key{Service: echoName, Port: servicePort}, Caller{Cluster: "far", Locality: here, Remote: true})
	if len(got) != 2 || got[0].Address != localKey(1) || got[1].Address != localKey(0) {
		t.Errorf("candidates: %v", got)
	}
	rows := tw.table.Endpoints(echoName)
	if rows[0].Status != status.FailedActiveHC || rows[0].HealthCheck != "GET /: 503" || rows[1].Status != status.Terminating {
		t.Errorf("%+v", rows)
	}
}

// sick is a service of that many local endpoints, of which some fail their check.
func sick(n int, p *v1alpha1.TrafficPolicySpec, which ...int) *discovery.Snapshot {
	svc := *benchService(n, p).Services.Get(echoName)
	for _, i := range which {
		svc.Endpoints[servicePort][i].Unhealthy = "503"
	}
	return &discovery.Snapshot{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{echoName: &svc})}
}

// A passed check ends an ejection, but not that of an endpoint which fails it, and a connect disproves no wrong answers.
func TestCheckPassed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		eject     func(*bench, Address)
		unhealthy []int
		answered  bool
		want      State
	}{
		"failed connects, a connect":   {func(b *bench, k Address) { b.fail(k, 3) }, nil, false, Ramping},
		"failed connects, an answer":   {func(b *bench, k Address) { b.fail(k, 3) }, nil, true, Ramping},
		"wrong answers, a connect":     {func(b *bench, k Address) { b.answer(k, 500, 500) }, nil, false, Ejected},
		"wrong answers, an answer":     {func(b *bench, k Address) { b.answer(k, 500, 500) }, nil, true, Ramping},
		"it fails its check meanwhile": {func(b *bench, k Address) { b.fail(k, 3) }, []int{0}, true, Ejected},
		"not ejected":                  {func(*bench, Address) {}, nil, true, OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, sick(2, answers(nil)), func(b *bench) {
				k := localKey(0)
				c.eject(b, k)
				b.table.Apply(sick(2, answers(nil), c.unhealthy...))
				b.table.CheckPassed(discovery.EndpointRef{Service: echoName, Port: servicePort, Address: k.Endpoint}, c.answered)
				b.table.CheckPassed(discovery.EndpointRef{Service: echoName, Port: servicePort + 1, Address: k.Endpoint}, true)
				b.table.CheckPassed(discovery.EndpointRef{Service: discovery.ServiceName{Name: "none"}, Port: servicePort, Address: k.Endpoint}, true)
				b.want(k, c.want)
				if want := map[State]int{Ejected: 1}[c.want]; b.count.ejected != want {
					t.Errorf("%d endpoints out of rotation, want %d", b.count.ejected, want)
				}
			})
		})
	}
}

// An endpoint that is healthy again warms up as one that has become ready.
func TestHealthyAgainWarmsUp(t *testing.T) {
	t.Parallel()
	p := &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{Warmup: &v1alpha1.Warmup{Duration: metav1.Duration{Duration: time.Minute}}}}
	inBubble(t, sick(2, p), func(b *bench) {
		share := func(want float64) {
			t.Helper()
			if _, _, h := b.get(localKey(0)); h.share != want {
				t.Errorf("its share is %v, want %v", h.share, want)
			}
		}
		share(1)
		bubble.Pass(time.Hour)
		b.table.Apply(sick(2, p, 0))
		b.table.Apply(sick(2, p))
		bubble.Pass(30 * time.Second)
		share(0.5)
		b.table.Apply(sick(3, p))
		bubble.Pass(30 * time.Second)
		share(1)
	})
}
