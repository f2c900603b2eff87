package discovery

import (
	"slices"
	"time"

	"github.com/eastway/eastway/internal/hashtrie"
)

// The processes of one cluster are siblings: they have the same SPIFFE ID. A proxy passes on to the controller what peers
// tell it, so that the controller needs no way to the internet; nothing goes the other way but the wish for all of it again.

// PeerState is how one proxy is connected to one peer.
type PeerState struct {
	Peer string
	// Error says in plain words why there is no link; empty while there is one.
	Error string
	// Reason is one of certs.Reasons when a handshake was refused, on either side; empty for any other error.
	Reason string
	Links  []PeerLink
}

// PeerLink is a proxy's link to one replica of a peer.
type PeerLink struct {
	Replica string
	// State is "connected", "suspect" or "draining".
	State string
	// Dialed is true when the proxy dialled.
	Dialed              bool
	TCPLanes, QUICLanes int
	RTT                 time.Duration
	Version             string
}

// passedOn is what a sibling was told of one peer.
type passedOn struct {
	word     *word // whose state it was, nil before the first
	revision uint64
	exports  hashtrie.Map[ServiceName, *PeerExport]
	linked   bool
	told     uint64 // number of updates
}

// peerNews is what a sibling has to be told of one peer.
type peerNews struct {
	peer   string
	update *telling // nil: nothing changed
	lost   bool
}

// passOn returns what changed since told, which it brings up to date, and a channel that is closed when there is more.
// What has not changed costs nothing.
func (c *Catalog) passOn(told map[string]*passedOn) (news []peerNews, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range told {
		if c.peers[name] == nil {
			delete(told, name)
		}
	}
	for _, name := range c.peerNames {
		believed := c.peers[name].believed
		if believed == nil {
			continue
		}
		t := told[name]
		if t == nil {
			t = &passedOn{}
			told[name] = t
		}
		n := peerNews{peer: name, lost: !believed.linked && (t.linked || t.word == nil)}
		if t.word != believed || t.revision != believed.revision || believed.linked && !t.linked {
			n.update = t.catchUp(believed)
		}
		t.linked = believed.linked
		if n.lost {
			t.exports, t.told = hashtrie.Map[ServiceName, *PeerExport]{}, 0 // the next update has nothing to build on
		}
		if n.update != nil || n.lost {
			news = append(news, n)
		}
	}
	return news, c.peersChanged.Changed()
}

// catchUp is the difference between what was told and the word. It is told even when nothing differs: a link is back.
func (t *passedOn) catchUp(w *word) *telling {
	news := &telling{base: t.told, revision: t.told + 1}
	for n := range hashtrie.Differing(t.exports, w.exports) {
		old, e := t.exports.Get(n), w.exports.Get(n)
		if e == nil {
			news.changes = append(news.changes, told{n, partMetadata, nil})
			continue
		}
		p := partMetadata | partReadiness
		if old != nil && slices.Equal(old.Ports, e.Ports) && equalSpec(&old.Spec, &e.Spec) && equalOffer(&old.Export, &e.Export) {
			p = partReadiness
		}
		news.changes = append(news.changes, told{n, p, &export{
			metadata:  Metadata{Ports: e.Ports, Spec: e.Spec, Export: e.Export},
			endpoints: Endpoints{Rows: e.Readiness, Pods: e.Pods},
		}})
	}
	slices.SortFunc(news.changes, func(a, b told) int { return a.name.Compare(b.name) })
	t.word, t.revision, t.exports, t.told = w, w.revision, w.exports, news.revision
	return news
}
