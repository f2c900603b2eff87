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

// pollInterval is the time between two reads of what a controller writes.
const pollInterval = 500 * time.Millisecond

// settleTime is how long a link may fail before that is printed: each side refuses the other until it has the Peer, for a second or two.
const settleTime = 5 * time.Second

// Member is one of the clusters that are to be linked.
type Member struct {
	Cluster *Cluster
	Own     peering.Manifest
}

// Members gets each cluster's own manifest, by Cluster.Own or Cluster.AwaitOwn, and refuses clusters that cannot be peers
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
				return nil, fmt.Errorf("%s and %s are two clusters of one name, %q: reinstall one of them under another name",
					m.Cluster, c, own.Peer.Name)
			}
		}
		members = append(members, Member{Cluster: c, Own: own})
	}
	return members, nil
}

// Unreachable names pairs of which neither side has an address to dial.
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

// Connection is the state of a Peer.
type Connection struct {
	Connected bool
	// Summary for people, such as "connected, 4 lanes, 31ms" or what it waits for.
	Summary string
}

// ConnectionOf reads a Peer's status.
func ConnectionOf(p *v1alpha1.Peer) Connection {
	s := &p.Status
	if s.ObservedGeneration < p.Generation {
		return Connection{Summary: "the controller has not seen it yet"}
	}
	for _, needed := range []string{v1alpha1.PeerAccepted, v1alpha1.PeerTrusted} {
		if c := meta.FindStatusCondition(s.Conditions, needed); c != nil && c.Status == metav1.ConditionFalse {
			return Connection{Summary: notYet(c, s.LastError)}
		}
	}
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.PeerConnected)
	if c == nil || c.Status != metav1.ConditionTrue {
		return Connection{Summary: notYet(c, s.LastError)}
	}
	parts := []string{"connected"}
	switch {
	case s.Lanes == 1:
		parts = append(parts, "1 lane")
	case s.Lanes > 1:
		parts = append(parts, fmt.Sprintf("%d lanes", s.Lanes))
	}
	if s.RoundTripTime != nil {
		parts = append(parts, s.RoundTripTime.Duration.String())
	}
	return Connection{Connected: true, Summary: strings.Join(parts, ", ")}
}

// notConnected is the summary of a Peer without a status.
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

// Progress of one direction: Peer as Cluster sees it.
type Progress struct {
	Cluster, Peer string
	State         Connection
}

// AwaitConnected returns when every member is connected to every other one, or ctx ends. report is called after each change.
func AwaitConnected(ctx context.Context, members []Member, report func(Progress)) error {
	var waits []*wait
	settled := time.Now().Add(settleTime)
	for i := range members {
		for j := range members {
			if i != j {
				waits = append(waits, &wait{from: &members[i], to: members[j].Own.Peer.Name, settled: settled})
			}
		}
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		for _, w := range waits {
			if err := w.look(ctx, report); err != nil {
				return err
			}
		}
		if !slices.ContainsFunc(waits, func(w *wait) bool { return !w.last.Connected }) {
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
	last Connection
	// settled is when failures are printed; shown is what was.
	settled time.Time
	shown   Connection
}

// show returns what to print of the state, if that is something new.
func (w *wait) show(now time.Time) (Connection, bool) {
	state := w.last
	if !state.Connected && now.Before(w.settled) {
		state = Connection{Summary: "connecting"}
	}
	if state == w.shown {
		return state, false
	}
	w.shown = state
	return state, true
}

func (w *wait) look(ctx context.Context, report func(Progress)) error {
	peer, err := w.from.Cluster.Peer(ctx, w.to)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the caller reports what is missing
	}
	state := Connection{}
	switch {
	case errors.Is(err, ErrUnreachable):
		state.Summary = err.Error() // it may come back
	case err != nil:
		return err
	case peer == nil:
		return fmt.Errorf("the Peer %s in %s was removed meanwhile", w.to, w.from.Cluster)
	default:
		state = ConnectionOf(peer)
	}
	w.last = state
	if state, news := w.show(time.Now()); news {
		report(Progress{Cluster: w.from.Own.Peer.Name, Peer: w.to, State: state})
	}
	return nil
}

func unconnected(ctx context.Context, waits []*wait) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var missing []string
	for _, w := range waits {
		if !w.last.Connected {
			missing = append(missing, fmt.Sprintf("%s to %s: %s", w.from.Own.Peer.Name, w.to, cmp.Or(w.last.Summary, notConnected)))
		}
	}
	return fmt.Errorf("not connected in time: %s. The Peers stay, and their proxies go on trying: see 'eastway check'", strings.Join(missing, "; "))
}
