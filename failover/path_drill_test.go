package failover_test

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
)

// breakable is a handler that can be broken and repaired.
type breakable struct {
	name   string
	broken atomic.Pointer[http.HandlerFunc]
}

func (b *breakable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := b.broken.Load(); h != nil {
		(*h)(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, b.name)
}

// TestZoneThenRegionBreaks: the own zone's endpoint breaks, then the region's other one, then both are repaired. All the time the same
// client sends GETs, none of which fails. The policy ejects at the first error, for five minutes.
func TestZoneThenRegionBreaks(t *testing.T) {
	t.Parallel()
	once, yes, all := uint32(1), true, int32(100)
	policy := &v1alpha1.TrafficPolicySpec{OutlierDetection: &v1alpha1.OutlierDetection{
		SplitExternalLocalOriginErrors: &yes, ConsecutiveLocalOriginFailures: &once, Consecutive5xxErrors: &once,
		Interval:         &metav1.Duration{Duration: 30 * time.Second},
		BaseEjectionTime: &metav1.Duration{Duration: 5 * time.Minute}, MaxEjectionPercent: &all,
	}}
	for name, breaks := range map[string]http.HandlerFunc{"503": fails(503), "502": fails(502), "cut": cuts} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				zone, region := &breakable{name: "zone"}, &breakable{name: "region"}
				p := newPath(t, spec{
					on: g, transport: "tcp", http: true, policy: policy,
					locals: pods(newPod(t, g, here, zone.ServeHTTP), newPod(t, g, beside, region.ServeHTTP)),
					b:      pods(newPod(t, g, abroad, says("abroad"))),
				})
				client := p.client(false)
				for _, phase := range []struct {
					what string
					do   func()
					want string
				}{
					{"healthy", func() {}, "zone"},
					{"the zone is broken", func() { zone.broken.Store(&breaks) }, "region"},
					{"the region is broken", func() { region.broken.Store(&breaks) }, "abroad"},
					{"repaired, not tried yet", func() { zone.broken.Store(nil); region.broken.Store(nil) }, "abroad"},
					{"the ejection is over", func() { bubble.Pass(6 * time.Minute) }, "zone"},
				} {
					phase.do()
					answers := make(map[string]int)
					for range 50 {
						code, answer, _, err := p.send(client, http.MethodGet, "")
						must(t, err)
						answers[fmt.Sprint(code, " ", answer)]++
					}
					if answers["200 "+phase.want] != 50 {
						t.Errorf("%s: %v", phase.what, answers)
					}
				}
			})
		})
	}
}
