package peers

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/status"
)

// rttChange is by which part a round trip must differ from the one in the status to be written: it is never the same twice.
const rttChange = 0.25

// summary is one peer as all proxies together see it.
type summary struct {
	proxies, connected int // proxies that report it, and that have a tunnel
	lanes              int
	rtt                time.Duration
	dialed, accepted   int // tunnels by the side that dialed
	err                string
	refused            bool // err is a handshake's, refused by either side
}

// summarize merges the states that the proxies report, by replica.
func summarize(peer string, states map[string][]discovery.PeerConnectivity) summary {
	var s summary
	for _, replica := range slices.Sorted(maps.Keys(states)) {
		at := slices.IndexFunc(states[replica], func(p discovery.PeerConnectivity) bool { return p.Peer == peer })
		if at < 0 {
			continue
		}
		state := &states[replica][at]
		s.proxies++
		before := s.dialed + s.accepted
		for i := range state.Links {
			l := &state.Links[i]
			if l.State != status.Connected && l.State != status.Suspect {
				continue
			}
			if l.Dialed {
				s.dialed++
			} else {
				s.accepted++
			}
			s.lanes += l.TCPLanes + l.QUICLanes
			if l.RTT > 0 && (s.rtt == 0 || l.RTT < s.rtt) {
				s.rtt = l.RTT
			}
		}
		if s.dialed+s.accepted > before {
			s.connected++
		} else if refused := state.Reason != ""; s.err == "" || refused && !s.refused {
			s.err, s.refused = clip.Text(state.Error, maxMessage), refused // a refusal is more specific than a network error
		}
	}
	return s
}

// statusOf a Peer, given the one that it has.
func statusOf(p *v1alpha1.Peer, v verdict, s summary, known imported, now time.Time) v1alpha1.PeerStatus {
	out := *p.Status.DeepCopy()
	out.ObservedGeneration = p.Generation
	out.Proxies, out.ConnectedProxies, out.Lanes = count(s.proxies), count(s.connected), count(s.lanes)
	out.Services, out.LastError = count(known.services), s.err
	out.RoundTripTime = roundTrip(out.RoundTripTime, s.rtt)
	for _, c := range []metav1.Condition{
		condition(v1alpha1.PeerAccepted, metav1.ConditionFalse, v.reason, v.message),
		trusted(v, &s), connected(v, &s), reachable(p, &s), reaches(&s), withinQuota(known),
	} {
		if c.Type == v1alpha1.PeerAccepted && v.accepted() {
			c.Status = metav1.ConditionTrue
		}
		c.ObservedGeneration, c.LastTransitionTime = p.Generation, metav1.NewTime(now)
		meta.SetStatusCondition(&out.Conditions, c)
	}
	return out
}

func condition(kind string, is metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: is, Reason: reason, Message: message}
}

func trusted(v verdict, s *summary) metav1.Condition {
	switch {
	case s.connected > 0:
		return condition(v1alpha1.PeerTrusted, metav1.ConditionTrue, v1alpha1.ReasonHandshake,
			"Each side has authenticated the other.")
	case !v.accepted():
		return condition(v1alpha1.PeerTrusted, metav1.ConditionFalse, v.reason, "The manifest is not accepted, see Accepted.")
	case s.refused:
		return condition(v1alpha1.PeerTrusted, metav1.ConditionFalse, v1alpha1.ReasonRefused, s.err)
	}
	return condition(v1alpha1.PeerTrusted, metav1.ConditionUnknown, v1alpha1.ReasonPending, "No handshake has succeeded or been refused yet.")
}

func connected(v verdict, s *summary) metav1.Condition {
	switch {
	case s.connected == 0 && s.proxies == 0 && v.accepted():
		return condition(v1alpha1.PeerConnected, metav1.ConditionUnknown, v1alpha1.ReasonPending,
			"No proxy of this cluster has reported the peer: `kubectl get pods` shows whether they run.")
	case s.connected == 0:
		message := "No proxy of this cluster has a tunnel to the peer."
		if s.err != "" {
			message += " " + s.err
		}
		return condition(v1alpha1.PeerConnected, metav1.ConditionFalse, v1alpha1.ReasonNoTunnel, message)
	case s.connected < s.proxies:
		return condition(v1alpha1.PeerConnected, metav1.ConditionTrue, v1alpha1.ReasonPartly,
			fmt.Sprintf("%d of %d proxies have a tunnel to the peer. %s", s.connected, s.proxies, s.err))
	}
	return condition(v1alpha1.PeerConnected, metav1.ConditionTrue, v1alpha1.ReasonTunnel, "Every proxy has a tunnel to the peer.")
}

func reachable(p *v1alpha1.Peer, s *summary) metav1.Condition {
	const kind = v1alpha1.PeerReachableFromUs
	switch {
	case s.dialed > 0:
		return condition(kind, metav1.ConditionTrue, v1alpha1.ReasonTunnel, "A tunnel that this cluster dialed is up.")
	case len(p.Spec.Addresses) == 0:
		return condition(kind, metav1.ConditionFalse, v1alpha1.ReasonNoAddress, "The manifest has no address: only the peer can dial.")
	case s.accepted > 0:
		return condition(kind, metav1.ConditionUnknown, v1alpha1.ReasonNotNeeded, "The tunnels that the peer dialed are used.")
	case s.err != "":
		return condition(kind, metav1.ConditionFalse, v1alpha1.ReasonNoTunnel, s.err)
	}
	return condition(kind, metav1.ConditionUnknown, v1alpha1.ReasonPending, "Not tried yet.")
}

func reaches(s *summary) metav1.Condition {
	const kind = v1alpha1.PeerReachesUs
	switch {
	case s.accepted > 0:
		return condition(kind, metav1.ConditionTrue, v1alpha1.ReasonTunnel, "A tunnel that the peer dialed is up.")
	case s.dialed > 0:
		return condition(kind, metav1.ConditionUnknown, v1alpha1.ReasonNotNeeded, "The tunnels that this cluster dialed are used.")
	}
	return condition(kind, metav1.ConditionUnknown, v1alpha1.ReasonPending, "The peer has not dialed.")
}

// withinQuota is unknown as long as the peer has not sent what it exports.
func withinQuota(known imported) metav1.Condition {
	const kind = v1alpha1.PeerWithinQuota
	switch x := known.excess; {
	case x != nil:
		return condition(kind, metav1.ConditionFalse, v1alpha1.ReasonQuotaExceeded, clip.Text(x.Text()+": "+x.Remedy()+".", maxMessage))
	case !known.heard:
		return condition(kind, metav1.ConditionUnknown, v1alpha1.ReasonPending, "The peer has not sent what it exports.")
	}
	return condition(kind, metav1.ConditionTrue, v1alpha1.ReasonWithinQuota, "All that the peer exports, and that may be imported, is.")
}

// roundTrip follows the measured one coarsely.
func roundTrip(was *metav1.Duration, is time.Duration) *metav1.Duration {
	if is == 0 {
		return nil
	}
	if was != nil && (was.Duration-is).Abs() <= time.Duration(float64(was.Duration)*rttChange) {
		return was
	}
	return &metav1.Duration{Duration: is.Round(precision(is))}
}

// precision leaves two or three digits.
func precision(d time.Duration) time.Duration {
	switch {
	case d < time.Millisecond:
		return 10 * time.Microsecond
	case d < 10*time.Millisecond:
		return 100 * time.Microsecond
	}
	return time.Millisecond
}

func count(n int) int32 { return int32(min(n, 1<<31-1)) } // bounded
