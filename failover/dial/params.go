package dial

import "time"

const (
	// LocalStagger is how long a local endpoint may take before the next candidate is tried beside it: many times a
	// round trip inside a region, well below the first retransmission of a SYN (1 s). RFC 8305 has the same 250 ms.
	LocalStagger = 250 * time.Millisecond
	// tlsStagger is that of an endpoint that gets TLS: two or three round trips to a host that may be in another region, where one takes
	// up to 300 ms, and well below localVerdict.
	tlsStagger = 3 * LocalStagger
	// localVerdict is how long a local endpoint that lost a race goes on being waited for, to learn whether it is slow
	// or dead: one retransmission of a SYN (1 s) does not make it a failure, nor does a short stall of this process.
	localVerdict = 1500 * time.Millisecond
	// peerStaggerRTTs times the measured round trip is what a peer may take, LocalStagger at least: one round trip
	// for the answer, as much again for its own connect and jitter.
	peerStaggerRTTs = 2
	// peerAttempts is how many of its endpoints a peer is allowed to try.
	peerAttempts = 16
	// maxSamePeer bounds how often one peer is tried again through another of its replicas.
	maxSamePeer = 3
	// ReplayLimit, in bytes, is how much of what the application sends is kept until a peer answers. When it is
	// full the application is not read on; a longer first flight waits for one round trip.
	ReplayLimit = 64 << 10
	// ReplayStart, in bytes, is the size that the copy begins with: most first flights are one small request.
	ReplayStart = 4 << 10
	// maxLoggedAttempts bounds the attempts in one line of the access log; the newest are kept.
	maxLoggedAttempts = 32
)
