package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/pace"
)

// Follower applies, in the controller, what the proxies of its own cluster forward: the peers' exports go to the catalog
// as if the peers were linked here, and PeerStates returns how peers are connected.
type Follower struct {
	catalog *Catalog

	mu      sync.Mutex
	states  map[string][]PeerConnectivity // by proxy
	owner   map[string]*followSession     // of each proxy's links the one that sent last: another one's end changes nothing
	changed notify.Broadcast
}

// NewFollower returns one without links.
func NewFollower(catalog *Catalog) *Follower {
	return &Follower{catalog: catalog, states: map[string][]PeerConnectivity{}, owner: map[string]*followSession{}}
}

// PeerStates returns the last state that each linked proxy sent, by the proxy's replica name. The map is not altered later.
// The channel is closed with the next change.
func (f *Follower) PeerStates() (map[string][]PeerConnectivity, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.states), f.changed.Changed()
}

func (f *Follower) setStates(s *followSession, states []PeerConnectivity) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states[s.replica], f.owner[s.replica] = states, s
	f.changed.Notify()
}

// Follow applies what one proxy forwards, until ctx or the link ends. Its last advert of a peer stays in the catalog until
// another proxy sends one of that peer. It returns nil when ctx ended.
func (f *Follower) Follow(ctx context.Context, replica string, conn Conn) error {
	if replica == "" || len(replica) > maxReplicaName {
		return invalid("replica", "a name of 1 to %d bytes is expected", maxReplicaName)
	}
	s := &followSession{follower: f, replica: replica, conn: conn, peers: map[string]*assembler{}, gap: notify.NewSignal()}
	f.setStates(s, nil)
	defer s.end()
	err := bothWays(ctx, s.requestSnapshots, s.receive)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("discovery: follow proxy %s: %w", replica, err)
}

// followSession follows one proxy.
type followSession struct {
	follower *Follower
	replica  string
	conn     Conn
	peers    map[string]*assembler
	gap      notify.Signal // something is missing
}

func (s *followSession) link(peer string) ReplicaID { return ReplicaID{Peer: peer, Replica: s.replica} }

func (s *followSession) end() {
	f := s.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owner[s.replica] != s {
		return
	}
	for peer := range s.peers {
		f.catalog.ForgetReplica(s.link(peer))
	}
	delete(f.states, s.replica)
	delete(f.owner, s.replica)
	f.changed.Notify()
}

func (s *followSession) receive(ctx context.Context) error {
	return receiveEach(ctx, s.conn, func(m *catalogpb.Message) error {
		switch m := m.GetMessage().(type) {
		case *catalogpb.Message_Update:
			return s.take(m.Update)
		case *catalogpb.Message_Lost:
			s.follower.catalog.ForgetReplica(s.link(m.Lost.GetCluster()))
		case *catalogpb.Message_PeerStates:
			states, err := decodePeerStates(m.PeerStates)
			if err != nil {
				return err
			}
			s.follower.setStates(s, states)
		case *catalogpb.Message_Resync:
			return errNotSibling
		}
		return nil // a message of a newer release
	})
}

func (s *followSession) take(m *catalogpb.Update) error {
	a := s.peers[m.GetCluster()]
	if a == nil {
		if len(s.peers) >= maxPeerStates {
			return invalid("update.cluster", "more than %d peers", maxPeerStates)
		}
		a = &assembler{peer: m.GetCluster()}
		s.peers[a.peer] = a
	}
	u, done, err := a.take(m)
	if err != nil || !done {
		return err
	}
	err = s.follower.catalog.UpdateRemote(s.link(a.peer), u)
	// The proxy may know a Peer before this process does.
	if errors.Is(err, ErrGap) || errors.Is(err, ErrUnknownPeer) {
		s.gap.Notify()
		return nil
	}
	return err
}

// requestSnapshots requests everything a little after something was missing, or a Peer was added: it may be available then.
func (s *followSession) requestSnapshots(ctx context.Context) error {
	peerAdded := s.follower.catalog.peerAdded.Changed()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.gap:
		case <-peerAdded: // what the proxy knows of it may have been dropped with the Peer before
		}
		if !pace.Sleep(ctx, resyncInterval) {
			return ctx.Err()
		}
		s.gap.Clear()
		peerAdded = s.follower.catalog.peerAdded.Changed()
		if err := send(ctx, s.conn, resyncMessage()); err != nil {
			return err
		}
	}
}

// errNotSibling: only the following side requests snapshots.
var errNotSibling = errors.New("discovery: the other process is not a proxy: it requests a snapshot")
