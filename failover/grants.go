package failover

import (
	"fmt"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/registry"
	"github.com/eastway/eastway/internal/status"
)

// grant is what allows a stream: its peer may call the service.
type grant struct {
	peer    string
	service discovery.ServiceName
}

// grants are the streams of peers by what allows them, so that those end that a changed rule denies.
type grants struct {
	mu      sync.Mutex
	streams map[grant]map[*registry.Tracked]struct{}
}

// add takes in a stream until the func that it returns is called. A stream is added before it is authorized, so that no change of a rule
// can come between.
func (g *grants) add(to grant, t *registry.Tracked) (remove func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.streams == nil {
		g.streams = map[grant]map[*registry.Tracked]struct{}{}
	}
	if g.streams[to] == nil {
		g.streams[to] = map[*registry.Tracked]struct{}{}
	}
	g.streams[to][t] = struct{}{}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if delete(g.streams[to], t); len(g.streams[to]) == 0 {
			delete(g.streams, to)
		}
	}
}

// apply ends the streams that a rule denies. Those of a service that is no longer exported may finish.
func (g *grants) apply(s *discovery.Snapshot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for to, streams := range g.streams {
		if !discovery.MayCall(s.Peers[to.peer], s.Services.Get(to.service)).Restricted() {
			continue
		}
		for t := range streams {
			t.End(registry.ErrDenied)
		}
	}
}

// judge counts, and logs from time to time, what rules deny a peer, or would without dryRun.
func (p *Proxy) judge(of grant) {
	s := p.table.Snapshot()
	if s == nil {
		return
	}
	svc := s.Services.Get(of.service)
	switch v := discovery.MayCall(s.Peers[of.peer], svc); {
	case v.DryRun != "":
		p.metrics.denied.WithLabelValues(of.peer, v.DryRun, "true").Inc()
		p.refused.note(refusalKey{service: of.service, kind: refusedDryRun}, zap.String("peer", of.peer), zap.String("rule", v.DryRun))
	case v.Allowed, v.Rule == discovery.RuleNoPeer:
	default:
		p.metrics.denied.WithLabelValues(of.peer, v.Rule, "false").Inc()
		if v.Restricted() {
			p.refused.note(refusalKey{service: of.service, kind: refusedDenied}, zap.String("peer", of.peer), zap.String("rule", v.Rule))
		}
	}
}

// deniedAltogether is the entry of spec.denied that has the peer's own SPIFFE ID; -1: none.
func deniedAltogether(p *discovery.Peer) int {
	if p == nil {
		return -1
	}
	return slices.IndexFunc(p.Spec.Denied, func(d v1alpha1.Denied) bool { return d.SPIFFEID == p.Spec.SPIFFEID })
}

// Authorization is whether the peer may call the service, and by which rule.
func (p *Proxy) Authorization(peer string, name discovery.ServiceName) status.Authorization {
	a := status.Authorization{Peer: peer, Namespace: name.Namespace, Name: name.Name}
	s := p.table.Snapshot()
	if s == nil {
		s = &discovery.Snapshot{}
	}
	by, svc := s.Peers[peer], s.Services.Get(name)
	switch {
	case by == nil:
		a.Missing = "Peer " + peer
	case svc == nil:
		a.Missing = "Service " + name.String()
	}
	if i := deniedAltogether(by); i >= 0 {
		a.Rule = fmt.Sprintf("denied[%d]", i)
		a.Reason = fmt.Sprintf("spec.%s of Peer %s has its SPIFFE ID: no connection of the peer is accepted", a.Rule, peer)
		return a
	}
	v := discovery.MayCall(by, svc)
	a.Allowed, a.Rule, a.DryRun, a.Reason = v.Allowed, v.Rule, v.DryRun, v.Explain(peer, by, name, svc)
	return a
}
