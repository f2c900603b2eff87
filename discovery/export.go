package discovery

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/notify"
)

// export is a service as this cluster advertises it to peers: counts of endpoints, never addresses.
type export struct {
	metadata  Metadata
	endpoints Endpoints
}

// parts of an export, which are sent apart because readiness changes all the time and metadata rarely.
type parts uint8

const (
	partMetadata parts = 1 << iota
	partReadiness
)

// exports are what this cluster exports, and what of it each peer is sent. Versions share what is the same, so that the cost of a delta
// grows with what changed.
type exports struct {
	revision uint64 // grows with each change; 0: no source has set the state yet, nothing may be sent
	all      hashtrie.Map[ServiceName, *export]
	// to has what each Peer may call.
	to      map[string]hashtrie.Map[ServiceName, *export]
	changed notify.Broadcast // when revision grows
}

// update evaluates the named services again, and all of them for peers that are new or whose rules changed.
func (x *exports) update(names []ServiceName, service func(ServiceName) *Service, was, is map[string]*Peer) {
	before := x.all
	for _, n := range names {
		switch now := exportOf(service(n)); {
		case now == nil:
			x.all = x.all.Without(n)
		case changedParts(x.all.Get(n), now) != 0:
			x.all = x.all.With(n, now)
		}
	}
	changed := x.revision == 0 || !hashtrie.Equal(before, x.all)
	to := make(map[string]hashtrie.Map[ServiceName, *export], len(is))
	for name, p := range is {
		old, known := x.to[name]
		if known && was[name] != nil && reflect.DeepEqual(was[name].Spec.Exports, p.Spec.Exports) {
			to[name] = x.view(p, old, before, names, service)
		} else {
			to[name] = x.viewOfAll(p, service)
		}
		changed = changed || !known || !hashtrie.Equal(old, to[name])
	}
	x.to = to
	if changed {
		x.revision++
		x.changed.Notify()
	}
}

// view is what the peer may call, given what it could call before the named services were evaluated.
func (x *exports) view(p *Peer, old, before hashtrie.Map[ServiceName, *export], names []ServiceName, service func(ServiceName) *Service,
) hashtrie.Map[ServiceName, *export] {
	hidden := func(n ServiceName) bool { return x.all.Get(n) != nil && !MayCall(p, service(n)).Allowed }
	if old.Len() == before.Len() && !slices.ContainsFunc(names, hidden) {
		return x.all // nothing was hidden, and nothing is
	}
	for _, n := range names {
		if e := x.all.Get(n); e == nil || hidden(n) {
			old = old.Without(n)
		} else {
			old = old.With(n, e)
		}
	}
	if old.Len() == x.all.Len() {
		return x.all
	}
	return old
}

// viewOfAll is what the peer may call, whatever it could before.
func (x *exports) viewOfAll(p *Peer, service func(ServiceName) *Service) hashtrie.Map[ServiceName, *export] {
	out := x.all
	for n := range x.all.All() {
		if !MayCall(p, service(n)).Allowed {
			out = out.Without(n)
		}
	}
	return out
}

// sent is what a link has been sent.
type sent struct {
	revision uint64 // 0: nothing
	exports  hashtrie.Map[ServiceName, *export]
}

// delta is what one link needs to be sent.
type delta struct {
	base     uint64 // 0: a snapshot
	revision uint64
	changes  []change // sorted by name
}

// change is one changed export; a nil export was withdrawn.
type change struct {
	name   ServiceName
	parts  parts
	export *export
}

// deltaFor returns what a link with the peer lacks, with s brought up to date, and a channel that is closed with the next change. ok is
// false if it lacks nothing.
func (c *Catalog) deltaFor(peer string, s *sent) (d delta, ok bool, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := &c.exports
	is, known := x.to[peer]
	if !known || x.revision == 0 || x.revision == s.revision { // a cluster without a Peer is sent nothing
		return d, false, x.changed.Changed()
	}
	d = delta{base: s.revision, revision: x.revision}
	for n := range hashtrie.Differing(s.exports, is) {
		e := is.Get(n)
		p := partMetadata | partReadiness
		if e != nil {
			p = changedParts(s.exports.Get(n), e)
		}
		if p != 0 {
			d.changes = append(d.changes, change{n, p, e})
		}
	}
	if s.revision != 0 && len(d.changes) == 0 { // what changed is not for this peer
		return d, false, x.changed.Changed()
	}
	slices.SortFunc(d.changes, func(a, b change) int { return a.name.Compare(b.name) })
	s.revision, s.exports = x.revision, is
	return d, true, x.changed.Changed()
}

func changedParts(was, is *export) parts {
	switch {
	case was == nil && is == nil:
		return 0
	case was == nil || is == nil || !was.metadata.equal(&is.metadata):
		return partMetadata | partReadiness
	case !slices.Equal(was.endpoints.Rows, is.endpoints.Rows) || !slices.Equal(was.endpoints.Pods, is.endpoints.Pods):
		return partReadiness
	}
	return 0
}

// exportOf is what is advertised of a service; nil if it is not exported.
func exportOf(s *Service) *export {
	if s == nil || s.Export == nil {
		return nil
	}
	rows := countReady(s, func(l Locality) Locality { return l })
	if len(rows) > maxReadiness {
		rows = countReady(s, func(l Locality) Locality { return Locality{Region: l.Region} })
	}
	if len(rows) > maxReadiness {
		rows = countReady(s, func(Locality) Locality { return Locality{} })
	}
	return &export{
		metadata:  Metadata{Ports: s.Ports, Spec: s.Spec, Export: s.Export.bounded()},
		endpoints: Endpoints{Rows: rows, Pods: podsOf(s)},
	}
}

func (m *Metadata) equal(o *Metadata) bool {
	return slices.Equal(m.Ports, o.Ports) && equalSpec(&m.Spec, &o.Spec) && equalExport(&m.Export, &o.Export)
}

// podsOf are the pods of a headless service that have names; a pod with several ports is ready if it is ready on all of them.
func podsOf(s *Service) []Pod {
	if !s.Spec.Headless {
		return nil
	}
	pods := map[string]Pod{}
	for _, endpoints := range s.Endpoints {
		for i := range endpoints {
			e := &endpoints[i]
			if e.Hostname == "" {
				continue
			}
			p, known := pods[e.Hostname]
			ready := e.Ready && e.Unhealthy == ""
			pods[e.Hostname] = Pod{Hostname: e.Hostname, Locality: e.Locality, Ready: ready && (p.Ready || !known)}
		}
	}
	names := slices.Sorted(maps.Keys(pods))
	out := make([]Pod, 0, min(len(names), maxPods))
	for _, n := range names[:min(len(names), maxPods)] {
		out = append(out, pods[n])
	}
	return out
}

// bounded is the export within the limits that peers enforce; the first keys by name stay.
func (x *Export) bounded() Export {
	return Export{Created: x.Created, Labels: boundMap(x.Labels, maxLabelBytes), Annotations: boundMap(x.Annotations, maxAnnotationBytes)}
}

func boundMap(values map[string]string, bytes int) map[string]string {
	total := 0
	for k, v := range values {
		total += len(k) + len(v)
	}
	if len(values) <= maxMapEntries && total <= bytes {
		return values
	}
	kept := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if bytes -= len(k) + len(values[k]); bytes < 0 || len(kept) == maxMapEntries {
			break
		}
		kept[k] = values[k]
	}
	return kept
}

// countReady counts the endpoints of each port and locality, as coarse as the function makes it.
func countReady(s *Service, coarse func(Locality) Locality) []Readiness {
	type row struct {
		port     uint16
		locality Locality
	}
	counts := map[row]*Readiness{}
	for port, endpoints := range s.Endpoints {
		for _, e := range endpoints {
			at := row{port, coarse(e.Locality)}
			r := counts[at]
			if r == nil {
				r = &Readiness{Locality: at.locality, Port: port, InFlight: s.Policy.ForPort(port).InFlightPerEndpoint()}
				counts[at] = r
			}
			r.Total++
			switch {
			case e.Ready && e.Unhealthy == "":
				r.Ready++
			case e.Ready, e.Terminating:
				r.Terminating++
			}
		}
	}
	rows := make([]Readiness, 0, len(counts))
	for _, r := range counts {
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b Readiness) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Locality.Region, b.Locality.Region),
			cmp.Compare(a.Locality.Zone, b.Locality.Zone))
	})
	return rows
}
