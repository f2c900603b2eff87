package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/pace"
)

// maxPeerStates is how many peers a proxy tells the state of: more clusters than anybody joins.
const maxPeerStates = 512

// maxPeerError is the longest error told with one, in bytes: a cause, where it is, and what to do. A peer with an error has few
// links or none, so that all states still fit into one message.
const maxPeerError = 256

// Follower takes in, for the controller, what the proxies of its own cluster pass on: the peers' exports go to the
// catalog as if the peers had told them here, and how peers are connected is kept for whoever asks.
type Follower struct {
	catalog *Catalog

	mu      sync.Mutex
	states  map[string][]PeerState // by proxy
	changed notify.Broadcast
}

// NewFollower returns one without links.
func NewFollower(catalog *Catalog) *Follower {
	return &Follower{catalog: catalog, states: map[string][]PeerState{}}
}

// PeerStates is what each proxy said last, by the proxy's replica name; only proxies that are linked are in it. What is
// returned is not altered later. The channel is closed when there is news.
func (f *Follower) PeerStates() (map[string][]PeerState, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.states), f.changed.Changed()
}

func (f *Follower) setStates(replica string, states []PeerState, linked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if linked {
		f.states[replica] = states
	} else {
		delete(f.states, replica)
	}
	f.changed.Notify()
}

// Follow takes in what one proxy passes on, until ctx or the link ends. What it told of a peer last stays in the catalog as
// long as no other proxy speaks of that peer. It returns nil when ctx ended.
func (f *Follower) Follow(ctx context.Context, replica string, conn MessageConn) error {
	if replica == "" || len(replica) > maxReplicaName {
		return invalid("replica", "a name of 1 to %d bytes is expected", maxReplicaName)
	}
	s := &following{follower: f, replica: replica, conn: conn, peers: map[string]*assembler{}, asks: notify.NewSignal()}
	f.setStates(replica, nil, true)
	defer s.end()
	err := bothWays(ctx, s.askAgain, s.receive)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("discovery: following proxy %s: %w", replica, err)
}

// following is one link.
type following struct {
	follower *Follower
	replica  string
	conn     MessageConn
	peers    map[string]*assembler
	asks     notify.Signal // something is missing
}

func (s *following) link(peer string) Link { return Link{Peer: peer, Replica: s.replica} }

func (s *following) end() {
	for peer := range s.peers {
		s.follower.catalog.ForgetReplica(s.link(peer))
	}
	s.follower.setStates(s.replica, nil, false)
}

func (s *following) receive(ctx context.Context) error {
	messages := rate.NewLimiter(messageRate, messageBurst)
	for {
		data, err := s.conn.Receive(ctx)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if err := messages.Wait(ctx); err != nil {
			return err
		}
		m, err := decodeMessage(data)
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *catalogpb.Message_Update:
			err = s.take(m.Update)
		case *catalogpb.Message_Lost:
			s.follower.catalog.ForgetReplica(s.link(m.Lost.GetCluster()))
		case *catalogpb.Message_PeerStates:
			var states []PeerState
			if states, err = decodePeerStates(m.PeerStates); err == nil {
				s.follower.setStates(s.replica, states, true)
			}
		case *catalogpb.Message_Resync:
			err = errNotSibling
		default: // of a newer release
		}
		if err != nil {
			return err
		}
	}
}

func (s *following) take(m *catalogpb.Update) error {
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
	// The proxy may know of a Peer before this process does.
	if errors.Is(err, ErrGap) || errors.Is(err, ErrUnknownPeer) {
		s.asks.Notify()
		return nil
	}
	return err
}

// askAgain asks for everything a little after something was missing: it may be there then.
func (s *following) askAgain(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.asks:
		}
		if !pace.Sleep(ctx, resyncInterval) {
			return ctx.Err()
		}
		s.asks.Clear()
		m, err := encodeResync()
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		if err := s.conn.Send(ctx, m); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
}

func decodePeerStates(m *catalogpb.PeerStates) ([]PeerState, error) {
	if n := len(m.GetPeers()); n > maxPeerStates {
		return nil, invalid("peerStates.peers", "%d peers, at most %d", n, maxPeerStates)
	}
	states := make([]PeerState, 0, len(m.GetPeers()))
	for i, p := range m.GetPeers() {
		at := fmt.Sprintf("peerStates.peers[%d]", i)
		if n := len(p.GetLinks()); n > maxReplicas {
			return nil, invalid(at+".links", "%d links, at most %d", n, maxReplicas)
		}
		st := PeerState{Peer: clip(p.GetName()), Error: clipAt(p.GetError(), maxPeerError), Reason: clip(p.GetReason())}
		for _, l := range p.GetLinks() {
			const mostLanes = 1 << 10
			st.Links = append(st.Links, PeerLink{
				Replica: clip(l.GetReplica()), State: clip(l.GetState()), Dialed: l.GetDialed(), Version: clip(l.GetVersion()),
				TCPLanes: int(min(l.GetTcpLanes(), mostLanes)), QUICLanes: int(min(l.GetQuicLanes(), mostLanes)),
				RTT: time.Duration(min(l.GetRttUs(), uint64(time.Hour/time.Microsecond))) * time.Microsecond,
			})
		}
		states = append(states, st)
	}
	slices.SortFunc(states, func(a, b PeerState) int { return strings.Compare(a.Peer, b.Peer) })
	return states, nil
}
