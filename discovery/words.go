package discovery

import (
	"errors"
	"fmt"

	"github.com/eastway/eastway/internal/hashtrie"
)

// Link names one replica of a peer that this proxy has a tunnel to.
type Link struct {
	Peer    string
	Replica string
}

// Update is what one replica of a peer tells of its cluster's exports.
type Update struct {
	// Epoch is the run of that replica: newer runs have larger ones.
	Epoch uint64
	// Base is the revision that the update builds on; 0 means that it replaces everything told before.
	Base uint64
	// Revision is reached with the update.
	Revision uint64
	// Exports are the services whose metadata changed; one that is not known yet has its readiness beside it.
	Exports map[ServiceName]Metadata
	// Readiness replaces all that was told of a service's endpoints.
	Readiness map[ServiceName]Endpoints
	// Withdrawn are no longer exported; naming one that never was is no error.
	Withdrawn []ServiceName
}

// Metadata is what rarely changes of an export.
type Metadata struct {
	Ports  []ServicePort
	Spec   ServiceSpec
	Export Export
}

// Endpoints are what a peer tells of a service's endpoints.
type Endpoints struct {
	Rows []Readiness
	// Pods of a headless service, sorted by name.
	Pods []Pod
}

// Errors of UpdateRemote.
var (
	// ErrUnknownPeer: there is no Peer manifest of that name.
	ErrUnknownPeer = errors.New("discovery: no such peer")
	// ErrGap: the update builds on a state that is not there; only a snapshot helps.
	ErrGap = errors.New("discovery: update does not follow the last one")
)

// InvalidError is what a peer told that it must not tell.
type InvalidError struct {
	// Field of the message, such as "update.exports[3].ports[0].port".
	Field  string
	Reason string
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("discovery: invalid message from peer: %s: %s", e.Field, e.Reason)
}

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// peerWords are what the replicas of one peer say.
//
// All of them say the same sooner or later, so one is believed at a time: of the replicas that are linked, the one with
// the newest epoch (the process started last; all importers agree on it). Following whoever spoke last would let the
// catalog go back and forth between a replica and a slower one. When the last link ends its word is kept, until another
// replica has spoken: a peer that cannot be reached has not withdrawn anything.
type peerWords struct {
	replicas map[string]*word
	believed *word // nil before the first word
}

// word is what one replica says.
type word struct {
	replica  string
	epoch    uint64
	revision uint64
	linked   bool
	cost     int // bytes, estimated
	exports  hashtrie.Map[ServiceName, *PeerExport]
}

// newer orders words: the later run wins, and between equals the name, so that the choice is the same everywhere.
func (w *word) newer(o *word) bool {
	if w.epoch != o.epoch {
		return w.epoch > o.epoch
	}
	return w.replica > o.replica
}

func (p *peerWords) export(name ServiceName) *PeerExport {
	if p.believed == nil {
		return nil
	}
	return p.believed.exports.Get(name)
}

func (p *peerWords) addNames(to map[ServiceName]struct{}) {
	if p.believed == nil {
		return
	}
	for n := range p.believed.exports.All() {
		to[n] = struct{}{}
	}
}

// elect chooses whom to believe and forgets words that no longer count.
func (p *peerWords) elect() {
	var best *word
	for _, w := range p.replicas {
		if w.linked && (best == nil || w.newer(best)) {
			best = w
		}
	}
	if best == nil {
		return // the last word stays
	}
	p.believed = best
	for name, w := range p.replicas {
		if !w.linked {
			delete(p.replicas, name)
		}
	}
}
