package discovery

import (
	"cmp"
	"maps"
	"slices"

	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/notify"
)

// export is a service as this cluster tells its peers of it: counts, never addresses of endpoints.
type export struct {
	metadata  Metadata
	endpoints Endpoints
}

// parts of an export, which are told apart because readiness changes all the time and the rest rarely.
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

// maxExportLog is how many changes are remembered; a link that is further behind is given a snapshot.
const maxExportLog = 4096

// exportLog is what this cluster exports, and what changed lately in it, so that a delta costs as much as what changed.
type exportLog struct {
	revision uint64 // 0: no source has spoken yet, nothing may be told
	exports  map[ServiceName]*export
	changes  []exportChange   // by revision, ascending
	since    uint64           // changes holds everything after this revision
	changed  notify.Broadcast // when revision grows
}

func newExportLog() exportLog {
	return exportLog{exports: map[ServiceName]*export{}}
}

// update looks again at the named services.
func (l *exportLog) update(names []ServiceName, services hashtrie.Map[ServiceName, *Service]) {
	next := l.revision + 1
	changes := l.changes
	for _, n := range names {
		is := exportOf(services.Get(n))
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

// after names what changed after the revision; ok is false when the log does not reach back so far.
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

// telling is what one link has to be told.
type telling struct {
	base     uint64 // 0: a snapshot
	revision uint64
	changes  []told // sorted by name
}

// told is one changed export; a nil export was withdrawn.
type told struct {
	name   ServiceName
	parts  parts
	export *export
}

// tell returns what changed after the revision that a link was told last, 0 for none, and a channel that is closed when
// there is more.
// Without news ok is false.
func (c *Catalog) tell(last uint64) (t telling, ok bool, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.exports
	if l.revision == last { // also 0: nothing may be told yet
		return t, false, l.changed.Changed()
	}
	t = telling{base: last, revision: l.revision}
	changed, reached := l.after(last)
	if !reached {
		t.base = 0
		t.changes = make([]told, 0, len(l.exports))
		for n, e := range l.exports {
			t.changes = append(t.changes, told{n, partMetadata | partReadiness, e})
		}
	}
	for n, p := range changed {
		t.changes = append(t.changes, told{n, p, l.exports[n]})
	}
	slices.SortFunc(t.changes, func(a, b told) int { return a.name.Compare(b.name) })
	return t, true, l.changed.Changed()
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

// exportOf is what peers are told of a service; nil when it is not exported.
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
	return slices.Equal(m.Ports, o.Ports) && equalSpec(&m.Spec, &o.Spec) && equalOffer(&m.Export, &o.Export)
}

// podsOf are the pods of a headless service that have names; one that listens on several ports is ready when it is on all.
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
			pods[e.Hostname] = Pod{Hostname: e.Hostname, Locality: e.Locality, Ready: e.Ready && (p.Ready || !known)}
		}
	}
	names := slices.Sorted(maps.Keys(pods))
	out := make([]Pod, 0, min(len(names), maxPods))
	for _, n := range names[:min(len(names), maxPods)] {
		out = append(out, pods[n])
	}
	return out
}

// bounded is the export without what no peer would take; the smallest keys stay.
func (x *Export) bounded() Export {
	return Export{Created: x.Created, Labels: boundWords(x.Labels, maxLabelBytes), Annotations: boundWords(x.Annotations, maxAnnotationBytes)}
}

func boundWords(words map[string]string, bytes int) map[string]string {
	total := 0
	for k, v := range words {
		total += len(k) + len(v)
	}
	if len(words) <= maxWords && total <= bytes {
		return words
	}
	kept := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(words)) {
		if bytes -= len(k) + len(words[k]); bytes < 0 || len(kept) == maxWords {
			break
		}
		kept[k] = words[k]
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
			case e.Ready:
				r.Ready++
			case e.Terminating:
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
