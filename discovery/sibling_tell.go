package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/notify"
)

// peerStatesInterval is how often siblings are told how peers are connected, if that changed.
const peerStatesInterval = time.Second

// ServeSibling passes on to a process of the own cluster what peers tell, until ctx or the link ends. It returns nil when
// ctx ended.
func (x *Exchange) ServeSibling(ctx context.Context, replica string, conn MessageConn) error {
	s := &siblingTeller{exchange: x, conn: conn, asked: notify.NewSignal()}
	if err := bothWays(ctx, s.send, s.receive); ctx.Err() == nil {
		return fmt.Errorf("discovery: passing on the peers' words to %s: %w", replica, err)
	}
	return nil
}

type siblingTeller struct {
	exchange *Exchange
	conn     MessageConn
	asked    notify.Signal // the sibling needs everything again
}

func (s *siblingTeller) send(ctx context.Context) error {
	var (
		told   = map[string]*passedOn{}
		pace   = rate.NewLimiter(rate.Every(coalesce), 1)
		states = time.NewTicker(peerStatesInterval)
		last   []PeerState
	)
	defer states.Stop()
	for {
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		news, more := s.exchange.cfg.Catalog.passOn(told)
		for _, n := range news {
			if err := s.tell(ctx, n); err != nil {
				return err
			}
		}
		if now := s.exchange.peerStates(); !equalStates(now, last) {
			if err := s.put(ctx, encodePeerStates(now)); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		case <-states.C:
		case <-s.asked:
			clear(told)
		}
	}
}

func (s *siblingTeller) tell(ctx context.Context, n peerNews) error {
	if n.update != nil {
		messages, err := encode(n.peer, s.exchange.cfg.Epoch, n.update)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		for _, m := range messages {
			if err := s.conn.Send(ctx, m); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
	}
	if n.lost {
		return s.put(ctx, &catalogpb.Message{Message: &catalogpb.Message_Lost{Lost: &catalogpb.Lost{Cluster: n.peer}}})
	}
	return nil
}

func (s *siblingTeller) put(ctx context.Context, m *catalogpb.Message) error {
	data, err := marshal(m)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := s.conn.Send(ctx, data); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// receive waits for the end of the link; a sibling says nothing but that it needs everything again.
func (s *siblingTeller) receive(ctx context.Context) error {
	pace := rate.NewLimiter(rate.Every(resyncInterval), 1)
	for {
		data, err := s.conn.Receive(ctx)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		m, err := decodeMessage(data)
		if err != nil {
			return err
		}
		if m.GetResync() != nil {
			if err := pace.Wait(ctx); err != nil {
				return err
			}
			s.asked.Notify()
		}
	}
}

func (x *Exchange) peerStates() []PeerState {
	if x.cfg.PeerStates == nil {
		return nil
	}
	return x.cfg.PeerStates()
}

// equalStates compares what a reader would call the same: round trips are never twice alike.
func equalStates(a, b []PeerState) bool {
	return slices.EqualFunc(a, b, func(a, b PeerState) bool {
		return a.Peer == b.Peer && a.Error == b.Error && a.Reason == b.Reason && slices.EqualFunc(a.Links, b.Links, func(a, b PeerLink) bool {
			near := a.RTT < 2*b.RTT+time.Millisecond && b.RTT < 2*a.RTT+time.Millisecond
			a.RTT, b.RTT = 0, 0
			return near && a == b
		})
	})
}

func encodePeerStates(states []PeerState) *catalogpb.Message {
	p := &catalogpb.PeerStates{}
	for i := range states {
		if i == maxPeerStates {
			break
		}
		s := &catalogpb.PeerState{Name: states[i].Peer, Error: clipAt(states[i].Error, maxPeerError), Reason: clip(states[i].Reason)}
		for j, l := range states[i].Links {
			if j == maxReplicas {
				break
			}
			s.Links = append(s.Links, &catalogpb.PeerLink{
				Replica: l.Replica, State: l.State, Dialed: l.Dialed, TcpLanes: uint32(l.TCPLanes), //nolint:gosec // a few
				QuicLanes: uint32(l.QUICLanes), RttUs: uint64(max(l.RTT.Microseconds(), 0)), Version: l.Version, //nolint:gosec // a few
			})
		}
		p.Peers = append(p.Peers, s)
	}
	return &catalogpb.Message{Message: &catalogpb.Message_PeerStates{PeerStates: p}}
}

// errNotSibling: this side is the one that follows.
var errNotSibling = errors.New("discovery: a sibling tells what only a proxy may tell")
