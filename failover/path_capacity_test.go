package failover_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/status"
)

// capacityOf is a policy by which each endpoint can have so many calls in flight.
func capacityOf(n uint32) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{Capacity: &v1alpha1.Capacity{MaxInFlightPerEndpoint: n}}
}

// worker is a pod that takes a tenth of a second for a request, and knows how many it had at a time.
type worker struct {
	*pod
	now, most atomic.Int32
}

const workTime = 100 * time.Millisecond

func newWorkers(t *testing.T, g *simulated, at discovery.Locality, n int) (all []*worker, endpoints []discovery.Endpoint) {
	t.Helper()
	for range n {
		w := &worker{}
		w.pod = newPod(t, g, at, func(rw http.ResponseWriter, _ *http.Request) {
			for now := w.now.Add(1); ; {
				if most := w.most.Load(); now <= most || w.most.CompareAndSwap(most, now) {
					break
				}
			}
			<-time.After(workTime)
			w.now.Add(-1)
			_, _ = fmt.Fprint(rw, at.Region)
		})
		all, endpoints = append(all, w), append(endpoints, w.Endpoint)
	}
	return all, endpoints
}

func requestsOf(all []*worker) (n int) {
	for _, w := range all {
		n += int(w.requests.Load())
	}
	return n
}

func mostOf(all []*worker) (most int32) {
	for _, w := range all {
		most = max(most, w.most.Load())
	}
	return most
}

// isCrowded: one had more calls than it can take. Two that choose at the very same moment may be one too many.
func isCrowded(all []*worker, each int32) bool { return mostOf(all) > each+1 }

// clients send requests one after the other, in turn, until stop; it returns how many got each status.
func (p *path) clients(n int) (stop func() map[int]int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes, over := map[int]int{}, make(chan struct{})
	for i := range n {
		wg.Go(func() {
			client := p.client(false)
			<-time.After(time.Duration(i) * workTime / time.Duration(n))
			for {
				code, _, h, err := p.send(client, "POST", "order")
				if code == http.StatusServiceUnavailable && (h.Get("Retry-After") != "1" || h.Get("X-Eastway-Reason") != "capacity") {
					p.t.Errorf("%v", h)
				}
				mu.Lock()
				if err != nil {
					code = -1
				}
				codes[code]++
				mu.Unlock()
				select {
				case <-over:
					return
				default:
				}
				if code != http.StatusOK {
					<-time.After(workTime)
				}
			}
		})
	}
	return func() map[int]int {
		close(over)
		wg.Wait()
		return codes
	}
}

// has gives the site these endpoints.
func (s *site) has(t *testing.T, all []discovery.Endpoint) {
	t.Helper()
	local := s.local
	svc := *local.Services.Get(echoName)
	svc.Endpoints = map[uint16][]discovery.Endpoint{servicePort: all}
	local.Services = local.Services.With(echoName, &svc)
	s.catalog.SetLocal(local)
	await(t, "the endpoints are there", s.follows)
}

// TestScaleUp: region a has one endpoint of thirty while region b carries its load (cilium/cilium#46633: the one got all). No request
// fails, no endpoint ever has more than it can take, and what is new in a gets calls over ten seconds.
func TestScaleUp(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		const clients, each = 24, 2
		own, at := newWorkers(t, g, here, 30)
		far, farAt := newWorkers(t, g, abroad, 12)
		p := newPath(t, spec{
			on: g, transport: "tcp", locals: at[:1], b: farAt, http: true, policy: capacityOf(each), peerPolicy: capacityOf(each),
		})
		stop := p.clients(clients)
		inFlight := func(within time.Duration) (mean float64) { // at a's endpoints
			const every = 10 * time.Millisecond
			for range within / every {
				for _, w := range own {
					mean += float64(w.now.Load()) * float64(every) / float64(within)
				}
				bubble.Pass(every)
			}
			return mean
		}
		last := inFlight(2 * time.Second)
		if last < each-0.5 {
			t.Errorf("the one endpoint has %.1f", last)
		}
		for _, ready := range []int{2, 4, 8, 16, 30} {
			p.a.has(t, at[:ready])
			now := inFlight(2 * time.Second)
			if now < last-1 || now > last+float64(each*ready)/2 {
				t.Errorf("%d endpoints have %.1f calls, %.1f before", ready, now, last)
			}
			last = now
		}
		bubble.Pass(10 * time.Second)
		if now := inFlight(time.Second); now < clients-1 || last > clients-2 {
			t.Errorf("a's endpoints have %.1f calls, after two seconds %.1f", now, last)
		}
		if codes := stop(); len(codes) != 1 || codes[http.StatusOK] == 0 {
			t.Errorf("statuses: %v", codes)
		}
		if isCrowded(own, each) || isCrowded(far, each) {
			t.Errorf("an endpoint of a had %d calls at a time, one of b %d", mostOf(own), mostOf(far))
		}
	})
}

// TestSurvivorIsTooSmall: b's endpoints get as many calls as they can take, whatever a's proxy sends; the rest is refused at once, with
// Retry-After, and nothing is ejected for it.
func TestSurvivorIsTooSmall(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		const each = 2
		far, at := newWorkers(t, g, abroad, 3)
		p := newPath(t, spec{on: g, transport: over, b: at, http: true, peerPolicy: capacityOf(each)})
		stop := p.clients(24)
		bubble.Pass(3 * time.Second)
		codes := stop()
		if len(codes) != 2 || codes[http.StatusOK] < 120 || codes[http.StatusServiceUnavailable] == 0 || isCrowded(far, each) {
			t.Errorf("%v, an endpoint had %d calls at a time", codes, mostOf(far)) // 180 fit in three seconds
		}
		if n := requestsOf(far); n != codes[http.StatusOK] {
			t.Errorf("%d requests were executed, %d answered", n, codes[http.StatusOK])
		}
		for _, e := range append(p.a.proxy.Endpoints(echoName), p.b.proxy.Endpoints(echoName)...) {
			if e.OutlierCheck != status.CheckOK {
				t.Errorf("%+v", e)
			}
		}
		if s := strings.Join(p.b.proxy.Problems(), "\n"); !strings.Contains(s, "capacity.maxInFlightPerEndpoint") {
			t.Errorf("b's status has %q", s)
		}
	})
}

// TestRefusedIsTriedElsewhere: b has a second proxy, which a does not know of, and so takes half of what a sends: c has the rest.
func TestRefusedIsTriedElsewhere(t *testing.T) {
	t.Parallel()
	for _, isHTTP := range []bool{true, false} {
		t.Run(fmt.Sprintf("HTTP %v", isHTTP), func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				b, atB := newWorkers(t, g, near, 1)
				c, atC := newWorkers(t, g, abroad, 1)
				p := newPath(t, spec{on: g, transport: over, b: atB, c: atC, http: isHTTP, peerPolicy: capacityOf(4)})
				local := p.b.local
				local.Proxies = 2
				p.b.catalog.SetLocal(local)
				await(t, "b has two proxies", p.b.follows)
				stop := p.clients(4)
				bubble.Pass(time.Second)
				if codes := stop(); len(codes) != 1 || codes[http.StatusOK] == 0 {
					t.Errorf("statuses: %v", codes)
				}
				if requestsOf(c) == 0 || requestsOf(b) == 0 || isCrowded(b, 2) {
					t.Errorf("b got %d requests, %d at a time, and c %d", requestsOf(b), mostOf(b), requestsOf(c))
				}
			})
		})
	}
}

// TestBurst: many requests of HTTP/2 wait for the first connection to the nearest endpoint. What it cannot take then goes on.
func TestBurst(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		const each, requests = 2, 20
		own, at := newWorkers(t, g, here, 1)
		far, farAt := newWorkers(t, g, near, requests)
		p := newPath(t, spec{
			on: g, transport: "tcp", locals: at, b: farAt, http: true, policy: capacityOf(each), peerPolicy: capacityOf(each),
		})
		var wg sync.WaitGroup
		client := p.client(true)
		for range requests {
			wg.Go(func() {
				if code, _, _, err := p.send(client, "POST", "order"); code != http.StatusOK || err != nil {
					t.Errorf("%d %v", code, err)
				}
			})
		}
		wg.Wait()
		if mostOf(own) != each || requestsOf(own)+requestsOf(far) != requests {
			t.Errorf("the nearest endpoint had %d requests at a time", mostOf(own))
		}
	})
}

// TestSpillOfConnections: TCP. Open connections count, and what nothing has room for is reset.
func TestSpillOfConnections(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		backend := func(name string, at discovery.Locality) discovery.Endpoint {
			return ready(listen(t, g, func(c conn) {
				_, _ = c.Write([]byte(name))
				b := make([]byte, 1)
				_, _ = c.Read(b)
			}), at)
		}
		p := newPath(t, spec{
			on: g, transport: over, locals: []discovery.Endpoint{backend("a", here)}, b: []discovery.Endpoint{backend("b", near)},
			c: []discovery.Endpoint{backend("c", abroad)}, policy: capacityOf(2), peerPolicy: capacityOf(1),
		})
		var open []conn
		dial := func() string {
			c, err := p.dial()
			must(t, err)
			open = append(open, c)
			b := make([]byte, 1)
			if _, err := c.Read(b); err != nil {
				return "reset"
			}
			return string(b)
		}
		got := ""
		for range 6 {
			got += dial() + " "
		}
		if got != "a a b c reset reset " {
			t.Errorf("%s", got)
		}
		reset(open[2]) // b's
		await(t, "it has ended", func() bool { return p.b.proxy.Active() == 0 })
		bubble.Pass(2 * time.Second)
		if again := dial(); again != "b" {
			t.Errorf("once there is room again: %s", again)
		}
		for _, c := range open {
			reset(c)
		}
	})
}
