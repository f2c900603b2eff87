package discovery

import (
	"cmp"
	"maps"
	"slices"

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

// exportChange is one entry of the log: at that revision these parts of the service's export changed.
type exportChange struct {
	revision uint64
	name     ServiceName
	parts    parts
}

// maxExportLog is how many changes are kept; a link that is further behind is sent a snapshot.
const maxExportLog = 4096

// exportLog holds what this cluster exports, and its latest changes, so that the cost of a delta grows with what changed.
type exportLog struct {
	revision uint64 // 0: no source has set the state yet, nothing may be sent
	exports  map[ServiceName]*export
	changes  []exportChange   // by revision, ascending
	since    uint64           // changes holds everything after this revision
	changed  notify.Broadcast // when revision grows
}

func newExportLog() exportLog {
	return exportLog{exports: map[ServiceName]*export{}}
}

// update evaluates the named services again.
func (l *exportLog) update(names []ServiceName, service func(ServiceName) *Service) {
	next := l.revision + 1
	changes := l.changes
	for _, n := range names {
		is := exportOf(service(n))
		if p := changedParts(l.exports[n], is); p != 0 {
			changes = append(changes, exportChange{next, n, p})
		}
		if is == nil {
			delete(l.exports, n)
		} else {
			l.exports[n] = is
		}
	}
	if len(changes) == len(l.changes) && l.revision > 0 {
		return
	}
	if excess := len(changes) - maxExportLog; excess > 0 {
		l.since = changes[excess-1].revision
		changes = slices.Clone(changes[excess:])
	}
	l.revision, l.changes = next, changes
	l.changed.Notify()
}

// after returns what changed after the revision; ok is false if the log does not reach back so far.
func (l *exportLog) after(revision uint64) (changed map[ServiceName]parts, ok bool) {
	if revision < l.since || revision == 0 {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(l.changes, revision+1, func(c exportChange, r uint64) int {
		return cmp.Compare(c.revision, r)
	})
	changed = make(map[ServiceName]parts, len(l.changes)-i)
	for _, c := range l.changes[i:] {
		changed[c.name] |= c.parts
	}
	return changed, true
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

// deltaSince returns the changes after the revision that a link has, 0 for none, and a channel that is closed with the next
// change. ok is false if nothing changed.
func (c *Catalog) deltaSince(last uint64) (d delta, ok bool, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.exports
	if l.revision == last { // also 0: nothing may be sent yet
		return d, false, l.changed.Changed()
	}
	d = delta{base: last, revision: l.revision}
	changed, reached := l.after(last)
	if !reached {
		d.base = 0
		d.changes = make([]change, 0, len(l.exports))
		for n, e := range l.exports {
			d.changes = append(d.changes, change{n, partMetadata | partReadiness, e})
		}
	}
	for n, p := range changed {
		d.changes = append(d.changes, change{n, p, l.exports[n]})
	}
	slices.SortFunc(d.changes, func(a, b change) int { return a.name.Compare(b.name) })
	return d, true, l.changed.Changed()
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
				r = &Readiness{Locality: at.locality, Port: port}
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
