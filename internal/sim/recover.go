package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/internal/status"
)

const (
	// recoveredWithin bounds how long after the last fault everything may take: the longest ejection (5 min), a sweep, a ramp,
	// and the longest pause between searches for another replica (1.5 min).
	recoveredWithin = 8 * time.Minute
	// look is the time between two looks.
	look = 500 * time.Millisecond
)

// awaitRecovery waits until links, catalogs and outlier checks are as if nothing had happened.
func (w *world) awaitRecovery() {
	began := time.Now()
	problem := w.problem()
	for problem != "" {
		if time.Since(began) > recoveredWithin {
			w.findings.violate(RuleRecovered, "%v after the last fault: %s", recoveredWithin, problem)
			return
		}
		pass(look)
		problem = w.problem()
	}
	w.trace.Add("recovered %v after the last fault", time.Since(began))
}

// problem is the first thing that is not as it should be; "" if all is well.
func (w *world) problem() string {
	for _, p := range w.proxies() {
		r := p.current()
		if r == nil || !p.isReady() {
			return p.name + " is not ready"
		}
		for _, check := range []func() string{r.linkProblem, r.catalogProblem, r.outlierProblem, r.leftOver} {
			if s := check(); s != "" {
				return r.replica + ": " + s
			}
		}
	}
	return ""
}

// linkProblem: there is one connected link with each replica of each peer, and no other.
func (r *proxyRun) linkProblem() string {
	for _, st := range r.node.Status() {
		var linked, wanted []string
		for i := range st.Links {
			l := &st.Links[i]
			if l.State != status.Connected || l.Control == "" {
				return fmt.Sprintf("link with %s is %s", l.Replica, l.State)
			}
			linked = append(linked, l.Replica)
		}
		for _, q := range r.proxy.w.proxies() {
			if run := q.current(); run != nil && q.cluster.name == st.Peer {
				wanted = append(wanted, run.replica)
			}
		}
		slices.Sort(linked)
		slices.Sort(wanted)
		if !slices.Equal(linked, wanted) {
			return fmt.Sprintf("peer %s: linked with %v, its replicas are %v", st.Peer, linked, wanted)
		}
	}
	return ""
}

// catalogProblem: what peers export is known, with the right counts.
func (r *proxyRun) catalogProblem() string {
	w, s := r.proxy.w, r.catalog.Snapshot()
	for i := range w.plan.Services {
		known := make(map[string]uint32)
		if svc := s.Services.Get(serviceName(i)); svc != nil {
			for j := range svc.Peers {
				e := &svc.Peers[j]
				known[e.Peer] = 0
				for _, row := range e.Readiness {
					known[e.Peer] += row.Ready
				}
			}
		}
		for _, c := range w.clusters {
			if c == r.proxy.cluster {
				continue
			}
			got, there := known[c.name]
			ready := uint32(len(w.doors(i)) * len(c.readyApps(i, -1)))
			if there != c.exported[i] || got != ready && c.exported[i] {
				return fmt.Sprintf("service %d of %s: known %t with %d ready endpoints, it is %t with %d",
					i, c.name, there, got, c.exported[i], ready)
			}
		}
	}
	return ""
}

// readyApps are a service's apps that are ready, in one zone or (below 0) in all.
func (c *cluster) readyApps(service, zone int) []*app {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*app
	for _, a := range c.apps {
		if a.service == service && a.listed && a.ready && !a.terminating && (zone < 0 || a.locality == c.zone(zone)) {
			out = append(out, a)
		}
	}
	return out
}

// outlierProblem: nothing is ejected or ramping.
func (r *proxyRun) outlierProblem() string {
	for i := range r.proxy.w.plan.Services {
		rows := r.failover.Endpoints(serviceName(i))
		for j := range rows {
			if e := &rows[j]; e.OutlierCheck != status.CheckOK || e.Active != 0 ||
				e.Status != status.Healthy && e.Status != status.NotReady {
				return fmt.Sprintf("service %d: endpoint %s is %s, %s, %d active", i, e.Address, e.Status, e.OutlierCheck, e.Active)
			}
		}
	}
	return ""
}

// leftOver: no call is under way any more, so that nothing of one may be left.
func (r *proxyRun) leftOver() string {
	if n := r.failover.Active(); n > 0 {
		return fmt.Sprintf("%d connections are left", n)
	}
	for _, st := range r.node.Status() {
		for i := range st.Links {
			for j := range st.Links[i].Lanes {
				if l := &st.Links[i].Lanes[j]; l.Streams > 0 {
					return fmt.Sprintf("%d streams to %s are left on %s", l.Streams, st.Links[i].Replica, l.Name)
				}
			}
		}
	}
	if s := r.sessions.StreamProblem(); s != "" {
		return s
	}
	return r.gaugeProblem(idleGauges())
}

// watchRamps looks at all outlier checks all the time, until ctx ends: what was ejected must not be back at once.
func (w *world) watchRamps() {
	type place struct{ replica, service, address string }
	last := make(map[place]string)
	for w.ctx.Err() == nil {
		pass(look)
		now := make(map[place]string)
		for _, p := range w.proxies() {
			r := p.current()
			if r == nil {
				continue
			}
			for i := range w.plan.Services {
				rows := r.failover.Endpoints(serviceName(i))
				for j := range rows {
					e := &rows[j]
					at := place{r.replica, fmt.Sprintf("s%d:%d", i, e.Port), e.Address}
					now[at] = e.OutlierCheck
					ejected := last[at] == status.CheckFailed || last[at] == status.CheckProbing
					if ejected && e.OutlierCheck == status.CheckOK {
						w.findings.violate(RuleRamped, "%v was ejected %v ago and has its full share", at, look)
					}
				}
			}
		}
		last = now
	}
}

// awaitIdle waits for the last call's connections to end, for 5 s at most: lost bytes are sent again. An endpoint that still has one
// stands behind the others.
func (w *world) awaitIdle() {
	const step = 100 * time.Millisecond
	for range 5 * time.Second / step {
		busy := slices.ContainsFunc(w.proxies(), func(p *proxy) bool {
			r := p.current()
			return r != nil && r.failover.Active() > 0
		})
		if !busy {
			return
		}
		pass(step)
	}
}

// shareCalls is how many calls from each zone show that shares are back, at most: that one of two endpoints gets none of them
// by chance happens once in 10¹².
const shareCalls = 40

// checkShares makes calls in the healed world: each is served by the nearest endpoints, and of equally near ones each gets some.
func (w *world) checkShares() {
	id := 1_000_000
	for _, c := range w.clusters {
		for z := range zones {
			for s := range w.plan.Services {
				near := c.nearest(s, z)
				if len(near) == 0 {
					continue
				}
				seen := make(map[*app]int)
				for n := 0; n < shareCalls && len(seen) < min(len(near), 3); n++ {
					id++
					w.awaitIdle()
					w.checkCall(&Call{ID: id, Cluster: c.index, Zone: z, Service: s, Kind: UntilEnd, Up: 100, Down: 100, Steps: 1}, near, seen)
				}
				if len(seen) < min(len(near), 3) {
					w.findings.violate(RuleRecovered, "%d calls for service %d from %s/z%d were served by %d of %d endpoints",
						shareCalls, s, c.name, z, len(seen), len(near))
				}
			}
		}
	}
}

func (w *world) checkCall(c *Call, near []*app, seen map[*app]int) {
	o := w.call(c)
	if o.err != nil {
		w.findings.violate(RuleServed, "in the healed world %v: %v\n\t%v", c, o.err, w.access.Of(o.from))
		return
	}
	for _, e := range w.ledger.by(c.ID) {
		seen[e.app]++
		if !slices.Contains(near, e.app) {
			var names []string
			for _, a := range near {
				names = append(names, a.name)
			}
			w.findings.violate(RuleRecovered, "in the healed world %v is served by %s, not by one of %s\n\t%v",
				c, e.app.name, strings.Join(names, " "), w.access.Of(o.from))
		}
	}
}

// nearest are the endpoints that calls from a zone go to: of the own zone, the own cluster, a cluster of the own region; nil if
// only others have some.
func (c *cluster) nearest(service, zone int) []*app {
	if near := c.readyApps(service, zone); len(near) > 0 {
		return near
	}
	if near := c.readyApps(service, -1); len(near) > 0 {
		return near
	}
	var near []*app
	for _, o := range c.w.clusters {
		if o != c && o.region == c.region && o.exported[service] {
			near = append(near, o.readyApps(service, -1)...)
		}
	}
	return near
}
