package balance

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestRetriesOf(t *testing.T) {
	t.Parallel()
	millis := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Millisecond} }
	seven, fifty := uint32(7), int32(50)
	for name, c := range map[string]struct {
		retries *v1alpha1.Retries
		want    Retries
	}{
		"no policy": {nil, Retries{Attempts: 2, Percent: 20, MinConcurrency: 3}},
		"empty":     {&v1alpha1.Retries{}, Retries{Attempts: 2, Percent: 20, MinConcurrency: 3}},
		"all": {&v1alpha1.Retries{
			Attempts: &seven, Budget: &v1alpha1.RetryBudget{Percent: &fifty, MinRetryConcurrency: &seven},
			Backoff: &v1alpha1.RetryBackoff{BaseInterval: millis(10), MaxInterval: millis(20)},
		}, Retries{Attempts: 7, Anywhere: true, Percent: 50, MinConcurrency: 7, Backoff: Backoff{10 * time.Millisecond, 20 * time.Millisecond}}},
		"backoff": {
			&v1alpha1.Retries{Backoff: &v1alpha1.RetryBackoff{}},
			Retries{Attempts: 2, Percent: 20, MinConcurrency: 3, Backoff: Backoff{25 * time.Millisecond, 250 * time.Millisecond}},
		},
	} {
		got := retriesOf(c.retries)
		if got.Attempts != c.want.Attempts || got.Anywhere != c.want.Anywhere || got.Percent != c.want.Percent ||
			got.MinConcurrency != c.want.MinConcurrency || got.Backoff != c.want.Backoff {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestRetryMethods(t *testing.T) {
	t.Parallel()
	idempotent, listed := retriesOf(nil), retriesOf(&v1alpha1.Retries{Methods: []string{"POST"}})
	for method, want := range map[string]bool{
		"GET": true, "HEAD": true, "OPTIONS": true, "PUT": true, "DELETE": true,
		"POST": false, "PATCH": false, "TRACE": false, "CONNECT": false, "": false, "PROPFIND": false, "get": false,
	} {
		if got := idempotent.Method(method); got != want {
			t.Errorf("by default %q: %v", method, got)
		}
		if got := listed.Method(method); got != (method == "POST") {
			t.Errorf("where POST is listed %q: %v", method, got)
		}
	}
}

// TestRequestsFollowPolicy: those of a service port change with the catalog.
func TestRequestsFollowPolicy(t *testing.T) {
	t.Parallel()
	inBubble(t, benchService(1, nil), func(b *bench) {
		want := func(attempts int) {
			t.Helper()
			if got := b.table.Requests(b.key).Retries.Attempts; got != attempts {
				t.Errorf("%d attempts, want %d", got, attempts)
			}
		}
		want(2)
		none := uint32(0)
		b.table.Apply(benchService(1, &v1alpha1.TrafficPolicySpec{Retries: &v1alpha1.Retries{Attempts: &none}}))
		want(0)
		b.key.Service = discovery.ServiceName{Namespace: "no", Name: "such"}
		want(2)
	})
}

// The pods of a headless service share the limits of their port.
func TestLimitsOfPods(t *testing.T) {
	t.Parallel()
	s := benchService(1, &v1alpha1.TrafficPolicySpec{})
	svc := s.Services.Get(echoName)
	svc.Listeners = []discovery.Listener{{Port: servicePort, Pod: discovery.PodRef{Cluster: "here", Hostname: "pod-0"}}}
	table := NewTable(Config{Cluster: "here", Metrics: new(counts)})
	table.Apply(s)
	all, pod := Key{Service: echoName, Port: servicePort}, Key{Service: echoName, Port: servicePort, Pod: svc.Listeners[0].Pod}
	if !table.Has(pod) || table.Limits(all) == nil || table.Limits(all) != table.Limits(pod) {
		t.Error("a pod has limits of its own")
	}
	if table.Limits(Key{Service: echoName, Port: servicePort + 1}) != nil {
		t.Error("a port that is not there has limits")
	}
}
