package watch

import (
	"errors"
	"fmt"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/dns/judge"
	"github.com/eastway/eastway/internal/status"
)

// at is a service in a cluster.
type at struct{ cluster, service string }

// truth is what the data plane says of services in clusters. It is fed with what a proxy answers.
type truth struct {
	status *admin.Status // nil: there is none
	err    error         // why
	// services are those of status, by NAMESPACE/NAME.
	services map[string]*admin.ServiceStatus
}

func newTruth() *truth { return &truth{err: errNoQuery} }

// update takes an answer, or the error that there is none.
func (t *truth) update(s *admin.Status, err error) {
	*t = truth{status: s, err: err, services: make(map[string]*admin.ServiceStatus)}
	if err != nil {
		t.status = nil
		return
	}
	for i := range s.Services {
		v := &s.Services[i]
		t.services[v.Namespace+"/"+v.Name] = v
	}
}

// of combines what is said of several services of an entry's cluster: each of them must be servable.
func (t *truth) of(cluster string, services []string) judge.Evidence {
	out := judge.Evidence{Reason: "the entry has no service, and the name none"}
	for i, service := range services {
		switch e := t.service(at{cluster, service}); {
		case e.Verdict == judge.CannotServe:
			return e
		case i == 0, e.Verdict == judge.Unknown && out.Verdict == judge.CanServe:
			out = e
		}
	}
	return out
}

// service judges one.
func (t *truth) service(of at) judge.Evidence {
	evidence := func(v judge.Verdict, format string, args ...any) judge.Evidence {
		return judge.Evidence{Verdict: v, Reason: fmt.Sprintf(format, args...)}
	}
	if errors.Is(t.err, errNoProxy) {
		return evidence(judge.Unknown, "%v", t.err)
	}
	if t.status == nil {
		return evidence(judge.Unknown, "the proxy does not answer: %v", t.err)
	}
	found := t.services[of.service]
	// A service of several ports may serve what the entry needs while another port has no ready endpoint: the best one counts.
	ready := func(most, fewest, total int) judge.Evidence {
		switch {
		case fewest == 0 && most > 0:
			return evidence(judge.CanServe, "%d endpoints of %s are ready, though not at each port", most, of.service)
		case fewest > 0:
			return evidence(judge.CanServe, "%d of %d endpoints of %s are ready", fewest, total, of.service)
		}
		return evidence(judge.CannotServe, "0 of %d endpoints of %s are ready", total, of.service)
	}
	if of.cluster == t.status.Cluster {
		if found == nil {
			return evidence(judge.Unknown, "this cluster has no Service %s", of.service)
		}
		return ready(found.LocalMost, found.LocalReady, found.LocalTotal)
	}
	if why := t.outOfReach(of.cluster); why != "" {
		return evidence(judge.Unknown, "%s", why)
	}
	if found != nil {
		for _, p := range found.Peers {
			if p.Peer == of.cluster {
				return ready(p.Most, p.Ready, p.Total)
			}
		}
	}
	return evidence(judge.Unknown, "%s does not export %s to this cluster, or its export is not used here", of.cluster, of.service)
}

// outOfReach is why a peer says nothing now; empty: it is connected.
func (t *truth) outOfReach(cluster string) string {
	for i := range t.status.Peers {
		p := &t.status.Peers[i]
		switch {
		case p.Peer != cluster:
		case p.State == status.Connected || p.State == status.Draining:
			return ""
		default:
			return "the peer " + cluster + " is " + p.State
		}
	}
	return cluster + " is neither this cluster nor a peer"
}
