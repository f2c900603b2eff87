package failover

import "time"

// Connecting.
const (
	// defaultConnectBudget bounds all attempts of one connection together: longer than a caller's usual connect
	// timeout would be of no use to it, shorter would give up on a far peer that needs several tries.
	defaultConnectBudget = 15 * time.Second
	// defaultConnectTimeout bounds one attempt (policy connectionPool.tcp.connectTimeout): one retransmitted SYN
	// (1 s) and the next (3 s) still fit.
	defaultConnectTimeout = 5 * time.Second
	// localStagger is how long a local endpoint may take before the next candidate is tried beside it: many times a
	// round trip inside a region, well below the first retransmission of a SYN (1 s). RFC 8305 has the same 250 ms.
	localStagger = 250 * time.Millisecond
	// localVerdict is how long a local endpoint that lost a race goes on being waited for, to learn whether it is slow
	// or dead: one retransmission of a SYN (1 s) does not make it a failure, nor does a short stall of this process.
	localVerdict = 1500 * time.Millisecond
	// peerStaggerRTTs times the measured round trip is what a peer may take, localStagger at least: one round trip
	// for the answer, as much again for its own connect and jitter.
	peerStaggerRTTs = 2
	// maxPerLevel bounds how many endpoints of one level one connection tries, so that a service with a thousand
	// dead endpoints does not keep a connection busy; ejection shortens the list long before.
	maxPerLevel = 16
	// peerAttempts is how many of its endpoints a peer is asked to try.
	peerAttempts = 16
	// maxSamePeer bounds how often one peer is tried again through another of its replicas.
	maxSamePeer = 3
	// replayLimit, in bytes, is how much of what the application sends is kept until a peer answers. When it is
	// full the application is not read on; a longer first flight waits for one round trip.
	replayLimit = 64 << 10
	// replayStart, in bytes, is the size that the copy begins with: most first flights are one small request.
	replayStart = 4 << 10
)

// Choosing.
const (
	// rampTime is how long an endpoint that came back takes until it gets its full share again.
	rampTime = 10 * time.Second
	// rampStart is the share that it begins with.
	rampStart = 0.1
	// rttStep is the grain in which peers' round trips are compared, so that jitter does not change their order.
	rttStep = 5 * time.Millisecond
	// maxHold bounds how long a peer's retry-after keeps a service from being asked there.
	maxHold = 10 * time.Second
)

// Limits.
const (
	// defaultMaxConnections of all listeners together; with 64 KiB of replay copy each they could hold 1 GiB at worst.
	defaultMaxConnections = 16384
	// defaultMaxPerListener keeps one service's callers from using up the limit of all.
	defaultMaxPerListener = 8192
	// defaultMaxStreamsPerPeer is how many streams of one peer are served at a time.
	defaultMaxStreamsPerPeer = 4096
	// overloadRetryAfter is what a peer is told that is above its limit.
	overloadRetryAfter = time.Second
	// drainRetryAfter is what a peer is told while this proxy goes away; another replica takes over at once.
	drainRetryAfter = time.Second
	// maxProbes is how many probes run at a time.
	maxProbes = 16
	// probeLinger bounds how long a probe's stream may stay after its answer.
	probeLinger = 5 * time.Second
	// maxLogged bounds, in bytes, each word in the access log that another side chose.
	maxLogged = 253
	// maxLoggedAttempts bounds the attempts in one line of the access log; the newest are kept.
	maxLoggedAttempts = 32
)

// Listening.
const (
	// acceptBackoffMin and acceptBackoffMax: pauses after a failed accept (out of descriptors), doubled each time.
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second
	// listenBackoffMin and listenBackoffMax: pauses between tries to open a listener that failed, doubled each time.
	listenBackoffMin = time.Second
	listenBackoffMax = 30 * time.Second
)
