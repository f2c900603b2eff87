package sim

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/eastway/eastway/internal/sim/record"
)

// recovery is how long after a disturbance the tunnels over a path may take to be back: the longest pause between dials, jitter
// included, a handshake over a slow line, and the exchange of catalogs.
const recovery = 12 * time.Second

// relisten is how long a proxy may take to listen again: until a probe finds that an endpoint is back.
const relisten = time.Second

// judge holds outcomes of calls against the ground truth.
type judge struct{ *world }

func (w judge) all() {
	for _, o := range w.ledger.outcomes {
		w.one(o)
	}
	w.replies()
}

func (w judge) one(o *outcome) {
	bad := new(wrongByteError)
	switch {
	case o.err == nil:
		return
	case errors.As(o.err, &bad), errors.Is(o.err, errCutOff):
		w.findings.violate(RuleWhole, "%v: %v", o.call, o.err)
		return
	case errors.Is(o.err, syscall.ECONNREFUSED) &&
		!w.reachable(&outcome{call: o.call, proxy: o.proxy, began: o.began.Add(-relisten), ended: o.ended}):
		w.findings.except("no endpoint could be reached, and nothing listened")
		return
	}
	if why := w.excuse(o); why != "" {
		w.findings.except(why)
		return
	}
	rule := RuleServed
	if errors.Is(o.err, errUntold) {
		rule = RuleTold
	}
	proxy := ""
	if o.proxy != nil {
		proxy = o.proxy.name
	}
	w.findings.violate(rule, "%v: through %s from %s, after %v: %v\n\t%v",
		o.call, proxy, o.from, o.ended.Sub(o.began).Round(time.Millisecond), o.err, w.access.Of(o.from))
}

// excuse is the exception of ARCHITECTURE's table that a failed call falls under; "" if there is none. Only what the call has
// really come through excuses it.
func (w judge) excuse(o *outcome) string {
	if o.proxy == nil {
		return "no proxy of the own cluster was ready"
	}
	if why := w.truth.why(o.proxy.name, o.began, o.ended); why != "" {
		return "own proxy: " + why
	}
	lines := w.access.Of(o.from)
	for i := range lines {
		l := &lines[i]
		if l.Inbound {
			continue
		}
		if l.Result == "no_endpoint" || l.Result == "timeout" {
			if !w.reachable(o) {
				return "no endpoint could be reached"
			}
			return w.cutOffPeer(o, lines)
		}
		for _, part := range w.way(o, l, lines) {
			if why := w.truth.why(part, o.began, o.ended); why != "" {
				return why
			}
			if w.truth.why(part+" route", o.began, o.ended) == "" {
				continue
			}
			switch {
			case o.call.Kind == EndpointResets:
				return "on a path that was silent, the endpoint's reset overtook what it had sent before"
			case errors.Is(o.err, errUntold) && w.leadsToApp(part):
				return "on a path that was silent, the endpoint's reset was lost"
			}
		}
	}
	return ""
}

// leadsToApp is true for the path between a proxy and an endpoint. A reset that is lost there is not sent again; the kernel's
// keepalives, which show it within a minute, are not simulated. Between proxies a reset is a message, which TCP sends again.
func (w judge) leadsToApp(path string) bool {
	return slices.ContainsFunc(w.apps(), func(a *app) bool {
		return slices.ContainsFunc(w.proxies(), func(p *proxy) bool { return path == pathOf(p.name, a.name) })
	})
}

// cutOffPeer: the call was sent to a peer's proxy that could not reach any endpoint of its cluster, while another proxy of the
// peer could. One proxy of a peer is tried after the other, and within the budget there was no time for the next.
func (w judge) cutOffPeer(o *outcome, lines []record.Access) string {
	for i := range lines {
		if !lines[i].Inbound {
			continue
		}
		name, _, _ := strings.Cut(lines[i].Proxy, "-")
		p := w.proxies()[slices.IndexFunc(w.proxies(), func(p *proxy) bool { return p.name == name })]
		cutOff := !slices.ContainsFunc(p.cluster.apps, func(a *app) bool {
			path := pathOf(p.name, a.name)
			return a.service == o.call.Service && w.truth.calm(o.began.Add(-noticed), o.ended, a.name, a.route(), path, path+" route")
		})
		if cutOff {
			return "the peer's proxy could not reach its endpoints; another one could"
		}
	}
	return ""
}

// way is what a call has come through behind its own proxy, as the proxies have logged it.
func (w judge) way(o *outcome, out *record.Access, lines []record.Access) []string {
	if out.Replica == "" {
		if a := w.appAt(out.Endpoint); a != nil {
			return []string{a.name, pathOf(o.proxy.name, a.name)}
		}
	}
	var parts []string
	remote, _, _ := strings.Cut(out.Replica, "-")
	for _, q := range w.proxies() {
		if q.name == remote || remote == "" && q.cluster.name == out.LastTried {
			parts = append(parts, q.name, pathOf(o.proxy.name, q.name))
		}
	}
	for i := range lines {
		if l := &lines[i]; l.Inbound {
			q, _, _ := strings.Cut(l.Proxy, "-")
			if a := w.appAt(l.Endpoint); a != nil {
				parts = append(parts, a.name, pathOf(q, a.name))
			}
		}
	}
	return parts
}

func (w judge) appAt(address string) *app {
	for _, a := range w.apps() {
		if strings.HasPrefix(address, a.host.Addr().String()+":") {
			return a
		}
	}
	return nil
}

// reachable reports whether, by ground truth, an endpoint was healthy and could be reached all the time.
func (w judge) reachable(o *outcome) bool {
	p := o.proxy
	if !w.truth.calm(o.began.Add(-noticed), o.ended, p.route()) {
		return false
	}
	for _, a := range w.apps() {
		if a.service != o.call.Service || !w.truth.calm(o.began.Add(-noticed), o.ended, a.name, a.route()) {
			continue
		}
		if a.cluster == p.cluster {
			if w.truth.calm(o.began.Add(-noticed), o.ended, pathOf(p.name, a.name), pathOf(p.name, a.name)+" route") {
				return true
			}
			continue
		}
		if w.plan.Clusters[a.cluster.index].Apps[a.service] >= 0 && w.linked(o, p, a) {
			return true
		}
	}
	return false
}

// linked reports whether a proxy of the app's cluster was there all the time through which the app could be reached.
func (w judge) linked(o *outcome, p *proxy, a *app) bool {
	from, to := o.began.Add(-recovery), o.ended
	for _, q := range a.cluster.proxies {
		path, local := pathOf(p.name, q.name), pathOf(q.name, a.name)
		if w.truth.calm(from, to, a.cluster.exportOf(), p.name, p.route(), q.name, q.route(), path, path+" route", local, local+" route", a.route()) {
			return true
		}
	}
	return false
}
