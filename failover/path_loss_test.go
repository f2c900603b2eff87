package failover_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/status"
)

// TestDrill: requests on kept connections, and connections of TCP, lose the region while a drill runs: its kept connections too. None fails, no
// endpoint is ejected, and right after the operator is gone everything is as it was.
func TestDrill(t *testing.T) {
	t.Parallel()
	for name, web := range map[string]bool{"HTTP": true, "TCP": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				zone, region, far := newPod(t, g, here, says("zone")), newPod(t, g, beside, says("region")), newPod(t, g, abroad, says("abroad"))
				p := newPath(t, spec{on: g, transport: "tcp", http: web, locals: pods(zone, region), b: pods(far)})
				client := p.client(false)
				served := func(want string) {
					t.Helper()
					if !web {
						client.CloseIdleConnections() // each request a connection
					}
					code, answer, _, err := p.send(client, http.MethodPost, "order")
					must(t, err)
					if code != http.StatusOK || answer != want {
						t.Errorf("%d %q, want %q", code, answer, want)
					}
				}
				served("zone")
				d := p.a.proxy.Drills()
				id, err := d.Start(drill.Spec{
					Kind: drill.RegionLoss, Scope: drill.Scope{Service: echoName, Region: here.Region}, Percent: 100, For: time.Minute,
				})
				must(t, err)
				for range 10 {
					served("abroad")
				}
				if problems := p.a.proxy.Problems(); len(problems) != 1 {
					t.Errorf("status says %q, want the drill", problems)
				}
				client.CloseIdleConnections()
				bubble.Pass(drill.Lease + time.Second)
				for range 10 {
					served("zone")
				}
				r, err := d.Renew(id)
				must(t, err)
				if r.Affected.Total != 10 || r.Affected.Failed != 0 || len(r.Moves) != 1 || r.Moves[0].Calls != 10 {
					t.Errorf("%+v", r)
				}
				drilled := 0
				for _, line := range p.a.access.All() {
					if line.ContextMap()["drill"] == id {
						drilled++
					}
				}
				if drilled != 10 {
					t.Errorf("%d lines of the access log name the drill, want 10", drilled)
				}
				for _, e := range p.a.proxy.Endpoints(echoName) {
					if e.OutlierCheck != status.CheckOK {
						t.Errorf("%+v", e)
					}
				}
			})
		})
	}
}

// TestDrillFindsOut: with the region lost there is no other endpoint. The calls of the drill fail until its budget is spent, no others do.
func TestDrillFindsOut(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		p := newPath(t, spec{
			on: g, transport: "tcp", http: true, locals: pods(newPod(t, g, here, says("zone"))), b: pods(newPod(t, g, here, says("b"))),
		})
		d := p.a.proxy.Drills()
		id, err := d.Start(drill.Spec{Kind: drill.RegionLoss, Scope: drill.Scope{Region: here.Region}, Percent: 100, For: time.Minute, Budget: 2})
		must(t, err)
		client := p.client(false)
		var codes []int
		for range 5 {
			code, _, _, err := p.send(client, http.MethodGet, "")
			must(t, err)
			codes = append(codes, code)
		}
		r, err := d.Renew(id)
		must(t, err)
		if codes[0] != 503 || codes[2] != 503 || codes[3] != 200 || codes[4] != 200 ||
			r.Affected.Failed != 3 || r.Affected.Failures["no_endpoint"] != 3 ||
			r.Ended == "" || r.Moves[0].To != "nowhere" {
			t.Errorf("%v, %+v", codes, r)
		}
	})
}

// TestDrillDelays: requests that would go into the scope wait, and go there.
func TestDrillDelays(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		p := newPath(t, spec{
			on: g, transport: "tcp", http: true, locals: pods(newPod(t, g, here, says("zone"))), b: pods(newPod(t, g, abroad, says("b"))),
		})
		_, err := p.a.proxy.Drills().Start(drill.Spec{
			Kind: drill.Latency, Scope: drill.Scope{Zone: here.Zone}, Percent: 100, Delay: 3 * time.Second, For: time.Minute,
		})
		must(t, err)
		begun := time.Now()
		code, answer, _, err := p.send(p.client(false), http.MethodGet, "")
		must(t, err)
		if took := time.Since(begun); code != http.StatusOK || answer != "zone" || took < 3*time.Second || took > 4*time.Second {
			t.Errorf("%d %q after %v, want 3s in virtual time", code, answer, took)
		}
	})
}

// TestDrillOfGRPC: the region that is left answers with status UNAVAILABLE in its trailers, which spends the budget.
func TestDrillOfGRPC(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		bad := newPod(t, g, abroad, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			w.WriteHeader(http.StatusOK)
			w.Header().Set("Grpc-Status", "14")
		})
		p := newPath(t, spec{on: g, transport: "tcp", http: true, locals: pods(newPod(t, g, here, says("zone"))), b: pods(bad)})
		d := p.a.proxy.Drills()
		id, err := d.Start(drill.Spec{Kind: drill.RegionLoss, Scope: drill.Scope{Region: here.Region}, Percent: 100, For: time.Minute})
		must(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.service.String()+"/a.B/C", http.NoBody)
		must(t, err)
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("TE", "trailers")
		resp, err := p.client(true).Do(req)
		must(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		must(t, resp.Body.Close())
		synctest.Wait()
		r, err := d.Renew(id)
		must(t, err)
		if got := resp.Trailer.Get("Grpc-Status"); got != "14" || r.Affected.Failed != 1 || r.Ended != drill.EndedByBudget {
			t.Errorf("gRPC status %q, %+v", got, r)
		}
	})
}
