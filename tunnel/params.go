package tunnel

import (
	"time"

	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/vitals"
)

// The protocol's name in ALPN is part of certs' TLS configurations ("eastway/1").

// Liveness of connections; vitals has that of a link.
const (
	tick = vitals.Tick
	// controlPingInterval is the time between pings on a control connection.
	controlPingInterval = 300 * time.Millisecond
	// lanePingInterval is the time between pings on a lane from which nothing else came.
	lanePingInterval = 500 * time.Millisecond
	// noLaneAfter is how long a link that is heard may be without a lane for calls before the log says why.
	noLaneAfter = 5 * time.Second
	// laneSuspectAfter is the silence of one lane that makes it suspect while the rest of its link is heard: longer than a link's,
	// because a ping on a lane may wait behind bulk data.
	laneSuspectAfter = 3 * time.Second
)

// Handshakes and dialing.
const (
	// handshakeTimeout bounds a transport's handshake, and then Hello, each.
	handshakeTimeout = transport.HandshakeTimeout
	// helloTimeout bounds the dialer's wait for the answer to its Hello, one round trip: the next connection, perhaps
	// over the other transport, waits behind it.
	helloTimeout = 2 * time.Second
	// searchMin and searchMax bound the jittered time between searches for other replicas behind an address that has led to
	// one: a load balancer shows them by and by, and a search costs one handshake per transport.
	searchMin = time.Second
	searchMax = time.Minute
	// maxStrayed is how many attempts in a row to dial a link's connection may meet other replicas before the pauses
	// between them grow: of ten replicas, one is missed that often once in thirty times.
	maxStrayed = 32
	// lastResortFor is how long after a GoAway streams that have no other way are still opened there: time to find another replica.
	lastResortFor = 5 * time.Second
	// keepInterval is the longest time between two looks at what a link misses.
	keepInterval = time.Second / 2
	// hurryAgain is how long after a search that a loss has set off at once the next loss is only searched for at a redial's pace.
	hurryAgain = 5 * time.Second
	// controlRedialMax is the longest pause while only the control connection is missing.
	controlRedialMax = time.Second
	// controlLinger is how long a control connection that is replaced stays open for what waits to be sent.
	controlLinger       = time.Second
	maxLinksPerPeer     = 64 // replicas of one peer that may be linked at the same time
	maxConnsPerLink     = 24
	maxControlStreams   = 8                // streams on a control connection whose header has not come
	maxPeerStreams      = 16 << 10         // streams of both sides that all replicas of a peer may have
	DefaultPeerMemory   = 512 << 20        // bytes that they have sent and nothing here has read
	maxEarlyResets      = 1024             // resets that overtook their stream's header
	maxRefusal          = 1 << 10          // bytes of why a handshake failed, in the log: a cause with a clipped name or two, and a remedy
	maxReason           = 256              // bytes of the text with which a peer refuses, resets or leaves
	maxPendingResets    = 1024             // resets that wait for a control connection
	controlQueue        = 1024             // control messages that wait to be written
	maxUnansweredOpens  = 192              // per lane; below the backlog at which a session refuses to open
	streamHeaderTimeout = 10 * time.Second // from a stream's first byte to its whole header
)

// Lanes. How many a link keeps is for each transport to say (transport.Caps).
const (
	// growAt is how many streams each lane of a transport has when another one is dialed; it is closed again after
	// laneIdle without a stream.
	growAt   = 4
	laneIdle = time.Minute
	// maxAbandoned bounds streams on a lane that this side has given up and the peer keeps open.
	maxAbandoned = 1024
	// maxLaneStreams bounds the streams that a peer may have open on one lane.
	maxLaneStreams = transport.MaxStreams
	// pathRest is how long after a move nothing else is tried: an upload proves the new path with its second probe timeout.
	pathRest = 3 * time.Second
)

// Data sent before a reset may still be read after it: while reading goes on, looked at every resetGrace, resetGraceSteps times at most.
const (
	resetGrace      = 250 * time.Millisecond
	resetGraceSteps = 20 // 5 s: 4 MB in flight at 7 Mbit/s
)
