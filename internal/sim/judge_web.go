package sim

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/eastway/eastway/internal/sim/record"
)

// The rules for HTTP requests, as docs/http.md has them.
const (
	// replayed, in bytes, is the longest body of which a proxy may send a second copy.
	replayed = 64 << 10
	// mostTries of one request may reach an endpoint.
	mostTries = 3
	// freeRetries may be under way at a proxy for one service port, whatever the share.
	freeRetries = 3
	// retryShare, in percent, of the requests in retryWindow may be retries. The window of a proxy is up to a tenth shorter.
	retryShare  = 20
	retryWindow = 10 * time.Second
)

func (w judge) replies() {
	for _, r := range w.ledger.replies {
		w.reply(r)
		if n := len(w.ledger.by(r.ask.ID)); n > mostTries {
			w.findings.violate(RuleBudget, "%v is executed %d times", r.ask, n)
		}
	}
	w.budgets()
}

// reply judges one request. At most once is judged while it runs.
func (w judge) reply(r *reply) {
	bad := new(wrongByteError)
	switch {
	case r.err == nil:
		return
	case errors.As(r.err, &bad), errors.Is(r.err, errCutOff):
		w.findings.violate(RuleWhole, "%v: %v", r.ask, r.err)
		return
	case errors.Is(r.err, errMixedUp):
		w.findings.violate(RuleMatched, "%v: %v", r.ask, r.err)
		return
	}
	if why := w.excuseReply(r); why != "" {
		w.findings.except("HTTP: " + why)
		return
	}
	proxy := ""
	if r.proxy != nil {
		proxy = r.proxy.name
	}
	w.findings.violate(RuleServed, "client %d of c%d/z%d, s%d, http2=%t: %v: through %s from %s, kept=%t, after %v: %v\n\t%v",
		r.client.ID, r.client.Cluster, r.client.Zone, r.client.Service, r.client.HTTP2, r.ask, proxy, r.from, r.kept,
		r.ended.Sub(r.began).Round(time.Millisecond), r.err, w.access.Of(r.from))
}

// excuseReply is why a request that failed may; "" if it may not.
func (w judge) excuseReply(r *reply) string {
	if r.proxy == nil {
		return "no proxy of the own cluster was ready"
	}
	if why := w.truth.why(r.proxy.name, r.began, r.ended); why != "" {
		return "own proxy: " + why
	}
	line := w.lineOf(r)
	switch {
	case line != nil:
		return w.excuseTries(r, line)
	case errors.Is(r.err, syscall.ECONNREFUSED):
		early := *r
		early.began = r.began.Add(-relisten)
		return w.nothingReachable(&early)
	case r.kept && r.status == 0 && w.truth.is(r.proxy.route(), "replaced", r.began, r.ended):
		return "the own proxy drained, and closed the connection while the request was under way to it"
	}
	return ""
}

// excuseTries is excuseReply for a request that its proxy has tried.
func (w judge) excuseTries(r *reply, line *record.Access) string {
	fault := w.faultOnWay(r, line)
	switch {
	case errors.Is(r.err, errUnavailable) && !r.ask.idempotent():
		return "an endpoint's own answer to a request that is not idempotent"
	case r.reason == "no-endpoint":
		return w.nothingReachable(r)
	case r.status == 0 && errors.Is(r.err, context.DeadlineExceeded), r.status == 200: // it hung, or an answer was cut off that had begun
		return fault
	case !r.ask.idempotent() && r.reason == "unknown-outcome", r.ask.Up > replayed:
		return fault
	case line.Tries() >= mostTries:
		return "three tries have failed"
	case w.busy(r):
		return "the budget of retries was used up"
	}
	return w.nothingReachable(r)
}

// lineOf is the request's line in its proxy's access log; nil: there is none.
func (w judge) lineOf(r *reply) *record.Access {
	lines := w.access.Of(r.from)
	for i := range lines {
		if lines[i].Request == r.ask.ID && !lines[i].Inbound {
			return &lines[i]
		}
	}
	return nil
}

// faultOnWay is what was wrong with something that the request has come through; "" if nothing was. A peer's proxies choose by
// themselves, so that any of them and any endpoint of the peer counts.
func (w judge) faultOnWay(r *reply, line *record.Access) string {
	for _, part := range w.wayOf(r, line) {
		if why := w.truth.why(part, r.began, r.ended); why != "" {
			return why
		}
	}
	return ""
}

func (w judge) wayOf(r *reply, line *record.Access) []string {
	var parts []string
	app := func(p *proxy, a *app) {
		path := pathOf(p.name, a.name)
		parts = append(parts, a.name, a.webRoute(), path, path+" route", a.route())
	}
	for _, t := range line.Attempts {
		if a := w.appAt(t.Target); a != nil {
			app(r.proxy, a)
			continue
		}
		for _, q := range w.proxies() {
			if q.cluster.name != t.Target {
				continue
			}
			path := pathOf(r.proxy.name, q.name)
			parts = append(parts, q.name, q.route(), path, path+" route")
			for _, a := range q.cluster.apps {
				if a.service == r.client.Service {
					app(q, a)
				}
			}
		}
	}
	return parts
}

// busy is true when so many requests for the same service port were under way at the same proxy that retries of others may have used
// up the budget.
func (w judge) busy(r *reply) bool {
	n := 0
	for _, o := range w.ledger.replies {
		if o != r && o.proxy == r.proxy && o.client.Service == r.client.Service && !o.began.After(r.ended) && !o.ended.Before(r.began) {
			n++
		}
	}
	return n >= freeRetries
}

// nothingReachable is the excuse of a request for which no healthy endpoint could be reached all the time. Of a peer all endpoints have
// to be healthy: its proxies choose among them.
func (w judge) nothingReachable(r *reply) string {
	o := &outcome{call: &Call{Service: r.client.Service}, proxy: r.proxy, began: r.began, ended: r.ended}
	from := r.began.Add(-noticed)
	if w.truth.calm(from, r.ended, r.proxy.route()) {
		for _, a := range w.apps() {
			if a.service != r.client.Service || !w.truth.calm(from, r.ended, a.name, a.route(), a.webRoute()) {
				continue
			}
			path := pathOf(r.proxy.name, a.name)
			if a.cluster == r.proxy.cluster && w.truth.calm(from, r.ended, path, path+" route") {
				return ""
			}
			if a.cluster != r.proxy.cluster && w.plan.Clusters[a.cluster.index].Apps[a.service] >= 0 && w.allHealthy(o, a.cluster) {
				return ""
			}
		}
	}
	return "no endpoint could be reached"
}

// allHealthy is true when each proxy of a cluster could be reached and could reach each of its endpoints.
func (w judge) allHealthy(o *outcome, c *cluster) bool {
	for _, a := range c.apps {
		if a.service != o.call.Service {
			continue
		}
		if !w.truth.calm(o.began.Add(-noticed), o.ended, a.name, a.route(), a.webRoute()) {
			return false
		}
		for _, q := range c.proxies {
			path, local := pathOf(o.proxy.name, q.name), pathOf(q.name, a.name)
			if !w.truth.calm(o.began.Add(-recovery), o.ended, q.name, q.route(), path, path+" route", local, local+" route", c.exportOf(),
				o.proxy.name, o.proxy.route()) {
				return false
			}
		}
	}
	return true
}

// budgets counts the retries that were under way at the same time at one proxy for one service port. Only those count that
// were surely under way: from the moment when an endpoint got one until it began the answer that the client has got.
func (w judge) budgets() {
	type place struct {
		proxy   *proxy
		service int
	}
	type retry struct{ from, to time.Time }
	retries, began := make(map[place][]retry), make(map[place][]time.Time)
	for _, r := range w.ledger.replies {
		at := place{r.proxy, r.client.Service}
		began[at] = append(began[at], r.began)
		for _, e := range w.ledger.by(r.ask.ID) {
			if e.number == r.run && e.again && !e.answered.IsZero() {
				retries[at] = append(retries[at], retry{e.at, e.answered})
			}
		}
	}
	for at, list := range retries {
		for _, t := range list {
			n, requests := 0, 0
			for _, o := range list {
				if !o.from.After(t.from) && o.to.After(t.from) {
					n++
				}
			}
			for _, b := range began[at] {
				if b.Before(t.from) && t.from.Sub(b) < retryWindow {
					requests++
				}
			}
			if n > max(freeRetries, requests*retryShare/100) {
				w.findings.violate(RuleBudget, "%d retries for service %d are under way at %s, of %d requests in %v",
					n, at.service, at.proxy.name, requests, retryWindow)
				break
			}
		}
	}
}
