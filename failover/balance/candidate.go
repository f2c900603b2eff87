package balance

import (
	"slices"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/capacity"
)

// Caller is where a connection comes from and what it may reach.
type Caller struct {
	// Cluster is the one that the caller runs in, Address its IP:PORT there (empty: not known). Sessions stay together by both.
	Cluster, Address string
	Locality         discovery.Locality
	// ClusterSet: it called the name of the cluster set, so own endpoints count only if the service is exported.
	ClusterSet bool
	// Remote: it calls through a peer. Only own endpoints serve it; the peer itself tries other clusters.
	Remote bool
	// Hostname, of a pod, leaves out all other own endpoints.
	Hostname string
	// Affinity, if not 0, is the same for all requests that go to the same endpoint, whatever the caller's address.
	Affinity uint64
	// HTTP: it makes requests, whose answers are judged too; not the bytes on an HTTP port that are no HTTP.
	HTTP bool
	// Keep is true for what it may try; nil: all. What it may not try takes no place from the rest.
	Keep func(*Candidate) bool
}

// Candidate is one place that a connection can be sent to, as it looks at one moment.
type Candidate struct {
	Address
	// Cluster is the own one or the peer, Locality where its nearest endpoint is.
	Cluster  string
	Locality discovery.Locality
	// RTT is the peer's; 0 for a local endpoint.
	RTT time.Duration
	// Endpoints is how many are behind it: 1, or those of a peer that take connections.
	Endpoints int
	// HTTP: it is a peer whose proxies carry requests on the port one by one. Of an endpoint it is known in probes alone: its port has HTTP.
	HTTP bool
	// ProxyProtocol: it is an endpoint that expects the header of the PROXY protocol.
	ProxyProtocol bool
	// TLS is what an endpoint gets; nil: nothing is added. Host is its DNS name, empty: it has none.
	TLS  *discovery.TLS
	Host string
	// ConnectTimeout bounds one attempt.
	ConnectTimeout time.Duration

	target *target
	place  place
	// load is what it has in flight, per endpoint that it stands for.
	load float64
	// proven is how many endpoints of a peer its calls have proven: the most that it served at a time.
	proven int
	// refusing is the share of refusals among its newest answers.
	refusing float64
	// round is how many connections it has had in ROUND_ROBIN, per endpoint that it stands for.
	round float64
	turn  turn
	// share is the part of its usual connections that it gets: below 1 while it ramps up.
	share float64
	// terminating: it serves, but will be gone soon.
	terminating bool
	// last marks what is tried only when all else failed: ejected, or held for a while.
	last bool
	// ejected: last because of that.
	ejected bool
	// level is what it has in flight, and room for.
	level capacity.Level
	// full: all that have room come before it. over: where nothing has, calls are refused. spilled: what is nearer is full.
	full, over, spilled bool
	// most is how many an endpoint gets; 0: any number.
	most int64
	// request: the caller makes requests.
	request bool
}

// turn is what an attempt means for the rounds of ROUND_ROBIN: it counts for so many endpoints, and what the target missed before
// behind does not.
type turn struct {
	counts    bool
	behind    float64
	endpoints int
}

// after is a target's round after the attempt.
func (t turn) after(round float64) float64 { return max(round, t.behind) + 1/float64(t.endpoints) }

// IsLike is true for an endpoint that serves a call as well, where connections are short.
func (c *Candidate) IsLike(o *Candidate) bool {
	return c.Locality == o.Locality && c.class(false) == o.class(false)
}

// Begin counts an attempt at the candidate until Use.Done.
func (c *Candidate) Begin() *Use {
	c.target.active.Add(1)
	return c.begun()
}

func (c *Candidate) begun() *Use {
	if c.spilled {
		c.target.group.spilled.Add(1)
	}
	if c.turn.counts {
		c.target.group.served(c.target, c.turn)
	}
	return &Use{target: c.target, lastResort: c.ejected, request: c.request}
}

// Take is Begin, unless an endpoint has as many calls in flight by now as it can take: then it is nil.
func (c *Candidate) Take() *Use {
	for now := c.target.active.Load(); c.most == 0 || now < c.most; now = c.target.active.Load() {
		if c.target.active.CompareAndSwap(now, now+1) {
			return c.begun()
		}
	}
	return nil
}

// Use is one attempt at a candidate, and the connection that it became; for HTTP it is one request.
type Use struct {
	target *target
	// lastResort: the target was ejected when it was chosen.
	lastResort bool
	request    bool
}

// Outcome is what a Use means for its candidate when it ends. The zero value means nothing.
type Outcome struct {
	// Failure is what the candidate is to blame for.
	Failure Failure
	// Untaken: the connection was refused, or not taken in time. What took it and then reset it is alive.
	Untaken bool
	// RetryAfter: no connections to it for so long; Full: no more than nearly what it has, as that is all its endpoints can take.
	RetryAfter time.Duration
	Full       bool
}

// Accepted records at once that the candidate accepted, which clears its failed connects; the connection counts until Done. It is
// apart from Done because a connection may last for days.
func (u *Use) Accepted() { u.target.group.connected(u.target) }

// Answered records the status of the final answer to a request; for gRPC, the HTTP status that its own status stands for. Done then
// gets no failure for the same answer. A peer is judged by its own answers only, not by those of its endpoints.
func (u *Use) Answered(status int) { u.target.group.answered(u.target, status, u.lastResort) }

// Took records for the choice between equals whether the candidate, or an endpoint of the peer, took the request or refused it for load,
// by the status that Answered would get.
func (u *Use) Took(status int) { u.target.group.took(u.target, isRefusal(status)) }

// Done ends the use; it is called once.
func (u *Use) Done(o Outcome) {
	t := u.target
	t.active.Add(-1)
	if o.Untaken {
		t.group.untaken(t)
	}
	switch {
	case o.Failure == NoFailure:
	case u.request || o.Failure.isAnswer():
		t.group.failedRequest(t, o.Failure)
	default:
		t.group.failed(t, o.Failure)
	}
	if o.RetryAfter > 0 {
		t.group.hold(t, o.RetryAfter, o.Full)
	}
}

// Candidates are the places to try for a connection, in the order in which to try them. There are none when the catalog has
// no such service port.
func (tb *Table) Candidates(k Key, c Caller) []Candidate {
	o := tb.options(k, &c)
	if o == nil {
		return nil
	}
	return o.by.order(o.candidates)
}

// options is what a caller can choose from at one moment.
type options struct {
	svc    *discovery.Service
	group  *group
	policy policy
	view   view
	// by is how the candidates are put in order.
	by         choice
	candidates []Candidate
}

// options is nil when the catalog has no such service port.
func (tb *Table) options(k Key, c *Caller) *options {
	s, g := tb.snapshot.Load(), tb.group(k)
	if s == nil || g == nil {
		return nil
	}
	svc := s.Services.Get(k.Service)
	if svc == nil || c.Remote && discovery.MayCall(s.Peers[c.Cluster], svc).Restricted() { // by now: also a request on a kept stream
		return nil
	}
	o := &options{svc: svc, group: g, policy: g.policyNow()}
	p, v := &o.policy, &o.view
	o.by = choice{method: p.method, affinity: p.affinity(c), random: tb.random, salt: tb.salt, proxies: max(s.Proxies, 1)}
	taken := c.Locality
	if c.Remote {
		taken = tb.seenFromHere(c.Locality, o.by.affinity != 0)
	}
	*v = p.localities.view(c.Locality, taken)
	o.by.weights = v.weights
	if c.Remote {
		o.candidates = tb.localCandidates(svc, g, p, c, v)
		return o
	}
	o.candidates = tb.peerCandidates(svc, g, p, c, v)
	if !c.ClusterSet || svc.Export != nil {
		o.candidates = append(tb.localCandidates(svc, g, p, c, v), o.candidates...)
	}
	if c.Keep != nil {
		o.candidates = slices.DeleteFunc(o.candidates, func(one Candidate) bool { return !c.Keep(&one) })
	}
	return o
}

// seenFromHere is where a caller of another cluster is taken to be: only in the own region do its zones mean anything.
func (tb *Table) seenFromHere(caller discovery.Locality, sticky bool) discovery.Locality {
	here := tb.cfg.Locality
	switch {
	case sameRegion(caller, here):
		return caller
	case sticky:
		here.Zone = "" // a client stays with its endpoint whichever replica it comes through
	}
	return here
}

// localCandidates are the endpoints of the own cluster that take connections.
func (tb *Table) localCandidates(svc *discovery.Service, g *group, p *policy, c *Caller, v *view) []Candidate {
	now := time.Now()
	out := make([]Candidate, 0, len(svc.Endpoints[g.key.Port])+len(svc.Peers)) // the caller appends the peers
	for i := range svc.Endpoints[g.key.Port] {
		e := &svc.Endpoints[g.key.Port][i]
		if !e.Ready && !e.Terminating || svc.IsOwnListener(e.Address) || !g.key.includes(tb.cfg.Cluster, e) ||
			c.Hostname != "" && e.Hostname != c.Hostname || !p.reachesOwn(c, e.Locality) {
			continue
		}
		a := Address{Endpoint: e.Address}
		t, h := g.health(a, now)
		if t == nil {
			continue // the catalog has just dropped it
		}
		out = append(out, Candidate{
			Address: a, Cluster: tb.cfg.Cluster, Locality: e.Locality, ConnectTimeout: p.connectTimeout,
			Endpoints: 1, ProxyProtocol: svc.ProxyProtocol, TLS: svc.OutsideTLS(), Host: e.Host,
			target: t, place: v.local(e.Locality), load: float64(t.active.Load()), share: h.share, round: h.round, refusing: h.refusing,
			terminating: e.Terminating, last: h.last, ejected: h.ejected, request: c.HTTP, level: h.level,
		})
	}
	return out
}

// probedAs is a target as a probe connects to it.
func probedAs(s *discovery.Snapshot, t *target) Candidate {
	c := Candidate{Address: t.address, ConnectTimeout: t.group.policyNow().connectTimeout}
	key := t.group.key
	if c.Peer != "" || s == nil {
		return c
	}
	svc := s.Services.Get(key.Service)
	if svc == nil {
		return c
	}
	c.HTTP, c.ProxyProtocol, c.TLS = isHTTP(svc.Ports, key.Port), svc.ProxyProtocol, svc.OutsideTLS()
	endpoints := svc.Endpoints[key.Port]
	if i := slices.IndexFunc(endpoints, func(e discovery.Endpoint) bool { return e.Address == c.Endpoint }); i >= 0 {
		c.Host = endpoints[i].Host
	}
	return c
}

// peerCandidates are the peers that export the service port with endpoints that take connections, and can be reached.
func (tb *Table) peerCandidates(svc *discovery.Service, g *group, p *policy, c *Caller, v *view) []Candidate {
	now := time.Now()
	var out []Candidate
	for i := range svc.Peers {
		e := &svc.Peers[i]
		n, terminating := servingAt(e, g.key.Port)
		state := tb.cfg.Peers.State(e.Peer)
		if n == 0 || !state.Usable || !g.key.includesPeer(e.Peer) || !p.reachesPeer(c, e, g.key.Port) {
			continue
		}
		a := Address{Peer: e.Peer}
		t, h := g.health(a, now)
		if t == nil {
			continue
		}
		at := v.peer(e, g.key.Port, terminating, state.RTT)
		out = append(out, Candidate{
			Address: a, Cluster: e.Peer, Locality: at.locality, RTT: state.RTT, ConnectTimeout: p.connectTimeout,
			Endpoints: int(n), HTTP: isHTTP(e.Ports, g.key.Port),
			target: t, place: at, load: float64(t.active.Load()) / float64(at.endpoints), share: h.share, round: h.round, refusing: h.refusing,
			proven: h.proven, terminating: terminating, last: h.last, ejected: h.ejected, request: c.HTTP, level: h.level,
		})
	}
	return out
}
