package kubecli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/peering"
)

// pollInterval is the time between two looks at what a controller writes.
const pollInterval = 500 * time.Millisecond

// Member is one of the clusters that are to be linked.
type Member struct {
	Cluster *Cluster
	Own     peering.Manifest
}

// Members asks each cluster for its own manifest, by Cluster.Own or Cluster.AwaitOwn, and refuses clusters that can't be peers
// of each other.
func Members(clusters []*Cluster, ownOf func(*Cluster) (peering.Manifest, error)) ([]Member, error) {
	members := make([]Member, 0, len(clusters))
	for _, c := range clusters {
		own, err := ownOf(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c, err)
		}
		for _, m := range members {
			switch {
			case m.Own.Peer.Name != own.Peer.Name:
			case m.Own.Peer.Spec.TrustBundle == own.Peer.Spec.TrustBundle:
				return nil, fmt.Errorf("%s and %s are the same cluster, %q", m.Cluster, c, own.Peer.Name)
			default:
				return nil, fmt.Errorf("%s and %s are two clusters of one name, %q: install one of them anew under another name",
					m.Cluster, c, own.Peer.Name)
			}
		}
		members = append(members, Member{Cluster: c, Own: own})
	}
	return members, nil
}

// Unreachable names pairs of which neither side has an address to be dialled at.
func Unreachable(members []Member) error {
	for i, a := range members {
		for _, b := range members[i+1:] {
			if len(a.Own.Peer.Spec.Addresses)+len(b.Own.Peer.Spec.Addresses) == 0 {
				return fmt.Errorf("neither %s nor %s has a public address: one side must be reachable. Wait until the tunnel Service has one "+
					"(kubectl get service -n %s), or give the chart tunnel.publicAddresses", a.Own.Peer.Name, b.Own.Peer.Name, a.Cluster.Namespace)
			}
		}
	}
	return nil
}

// PeerState is how far a Peer has come.
type PeerState struct {
	Connected bool
	// Words for people, such as "connected, 4 lanes, 31ms" or what it waits for.
	Words string
}

// StateOf reads a Peer's status.
func StateOf(p *v1alpha1.Peer) PeerState {
	s := &p.Status
	if s.ObservedGeneration < p.Generation {
		return PeerState{Words: "the controller has not seen it yet"}
	}
	for _, needed := range []string{v1alpha1.PeerAccepted, v1alpha1.PeerTrusted} {
		if c := meta.FindStatusCondition(s.Conditions, needed); c != nil && c.Status == metav1.ConditionFalse {
			return PeerState{Words: notYet(c, s.LastError)}
		}
	}
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.PeerConnected)
	if c == nil || c.Status != metav1.ConditionTrue {
		return PeerState{Words: notYet(c, s.LastError)}
	}
	said := []string{"connected"}
	switch {
	case s.Lanes == 1:
		said = append(said, "1 lane")
	case s.Lanes > 1:
		said = append(said, fmt.Sprintf("%d lanes", s.Lanes))
	}
	if s.RoundTripTime != nil {
		said = append(said, s.RoundTripTime.Duration.String())
	}
	return PeerState{Connected: true, Words: strings.Join(said, ", ")}
}

// notConnected is said of a Peer of which nothing is known.
const notConnected = "not connected yet"

func notYet(c *metav1.Condition, lastError string) string {
	switch {
	case c == nil && lastError == "":
		return notConnected
	case c == nil:
		return "not connected: " + oneLine(lastError)
	case lastError == "" || strings.Contains(c.Message, lastError):
		return strings.TrimSuffix("not "+strings.ToLower(c.Type)+": "+oneLine(c.Message), ": ")
	default:
		return "not " + strings.ToLower(c.Type) + ": " + oneLine(lastError)
	}
}

// Progress tells of one direction: how Cluster sees Peer.
type Progress struct {
	Cluster, Peer string
	State         PeerState
}

// AwaitConnected returns when every member says that it is connected to every other one, or ctx ends. tell is called
// whenever something has changed.
func AwaitConnected(ctx context.Context, members []Member, tell func(Progress)) error {
	var waits []*wait
	for i := range members {
		for j := range members {
			if i != j {
				waits = append(waits, &wait{from: &members[i], to: members[j].Own.Peer.Name})
			}
		}
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		for _, w := range waits {
			if err := w.look(ctx, tell); err != nil {
				return err
			}
		}
		if !slices.ContainsFunc(waits, func(w *wait) bool { return !w.said.Connected }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return unconnected(ctx, waits)
		case <-tick.C:
		}
	}
}

// wait is one direction that is waited for.
type wait struct {
	from *Member
	to   string
	said PeerState
}

func (w *wait) look(ctx context.Context, tell func(Progress)) error {
	peer, err := w.from.Cluster.Peer(ctx, w.to)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the caller says what is missing
	}
	state := PeerState{}
	switch {
	case errors.Is(err, ErrUnreachable):
		state.Words = err.Error() // it may come back
	case err != nil:
		return err
	case peer == nil:
		return fmt.Errorf("the Peer %s in %s was removed meanwhile", w.to, w.from.Cluster)
	default:
		state = StateOf(peer)
	}
	if state != w.said {
		w.said = state
		tell(Progress{Cluster: w.from.Own.Peer.Name, Peer: w.to, State: state})
	}
	return nil
}

func unconnected(ctx context.Context, waits []*wait) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var missing []string
	for _, w := range waits {
		if !w.said.Connected {
			missing = append(missing, fmt.Sprintf("%s to %s: %s", w.from.Own.Peer.Name, w.to, cmp.Or(w.said.Words, notConnected)))
		}
	}
	return fmt.Errorf("not connected in time: %s. The Peers stay, and their proxies go on trying: see 'eastway check'", strings.Join(missing, "; "))
}
