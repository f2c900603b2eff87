package transport

import "time"

const (
	// Lanes of each transport: see Caps.
	tcpLanes    = 2
	tcpMaxLanes = 8
	quicLanes   = 1
	// MaxStreams is how many streams, of both sides, a TCP session may have open. An acceptor takes no more on any.
	MaxStreams = 1024
	// deadAfter is the silence that ends a session whose peer is heard over others; see quicDeadAfter.
	deadAfter = 6 * time.Second

	// clientHelloTimeout is the time for a ClientHello, which an honest client sends at once: two retransmissions of TCP. It is also
	// the longest silence in QUIC's handshake, which ends after twice that.
	clientHelloTimeout = 2 * time.Second

	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second
)

// Paths whose MTU is smaller than the interface's, or becomes so, and where the ICMP messages that say so are filtered, swallow large
// packets: a lane that has them stands still until it is given up, with all its streams. Nothing larger than 1,280 bytes, the least MTU of
// IPv6 (RFC 8200, section 5), is sent, so there is nothing to discover. Measured between two namespaces, CPU-bound: TCP carries as much as
// with 1,500 bytes (the kernel cuts and joins segments), QUIC 20 % less.
const (
	// tcpSegment is the segment size (TCP_MAXSEG), with room for any IP options that tunnels on the way may add.
	tcpSegment = 1200
	// quicPacketSize, in bytes, is the least that QUIC allows for its first packets (RFC 9000, section 14): 1,248 with IPv6's headers.
	quicPacketSize = 1200
)

// TCP.
const (
	// userTimeout (TCP_USER_TIMEOUT) is the kernel's backstop behind deadAfter.
	userTimeout = 20 * time.Second
	// AcceptBacklog is how many streams a side may open before the other has accepted one of them; more are refused.
	AcceptBacklog = 256
	// maxRefused is how many refusals may wait to be sent.
	maxRefused = 1024
	// muxWindow is a stream's receive window in bytes, farWindow that of a session with a round trip above farRTT: 320
	// Mbit/s for one stream at 100 ms. Measured on such a line: bulk of one stream four times as fast, a fresh 1 MB in 157
	// ms instead of 281.
	muxWindow = 1 << 20
	farWindow = 4 << 20
	farRTT    = 20 * time.Millisecond
	// maxGranted bounds what a session's streams may hold that is received and not read, in bytes, beyond the initial
	// window of each.
	maxGranted = 64 << 20
)

// QUIC.
const (
	// quicIdleTimeout is QUIC's backstop behind deadAfter.
	quicIdleTimeout = 20 * time.Second
	// quicDeadAfter is longer than deadAfter: a session that looks for another path can still be saved. Where Kubernetes
	// has called all pods unready, a Service has no endpoint for any path until the kubelets have reported again, which
	// they do every 10 s; on average that leaves half of it.
	quicDeadAfter = 10 * time.Second
	// quicStreams × quicStreamWindow ≤ quicConnWindow, so that streams that are not read can never use up the
	// session's window and stall the others.
	quicStreams      = 128
	quicStreamWindow = 512 << 10
	quicConnWindow   = (quicStreams + 8) * quicStreamWindow
	// quicLifetime: stream IDs have 62 bits, of which two are the kind.
	quicLifetime = 1 << 60
	// MaxQUICHandshakes bounds the inbound connections whose handshake goes on, whether they have a place at the Gate or lost it:
	// quic-go cannot be made to end one before its ClientHello is complete. Each takes about 24 KB and no descriptor.
	MaxQUICHandshakes = 2048
	// quicTurn is for how long a handshake has a turn at most, where quic-go does not show that it waits for the client. The server's
	// flight takes 0.3 ms.
	quicTurn = time.Millisecond
	// quicLinger is how long the socket of a closed session stays: the packet that closes it may get lost, and is
	// repeated when the peer goes on sending. A ping comes within it.
	quicLinger = time.Second
)

// A QUIC session outlives the path that it was dialed on. Kubernetes and load balancers forget UDP flows that are in
// use (kube-proxy, whenever an endpoint of the Service becomes unready), and TCP's not: the session is deaf then, and
// from another port it is not.
const (
	// pathCheck is how often a search looks whether the peer was heard.
	pathCheck = 100 * time.Millisecond
	// pathProbeInterval is the time between two sockets that are tried: several round trips.
	pathProbeInterval = 500 * time.Millisecond
	// maxPathProbes bounds the sockets that one search costs. They fill the time until the session is dead; behind a load
	// balancer with three replicas all of them are led elsewhere once in sixty times.
	maxPathProbes = 10
	// maxPathBytes bounds what is sent from each, perhaps to a replica that knows nothing of it: some probes of full size.
	maxPathBytes = 64 << 10
	// maxDatagram is more than the bytes of any QUIC packet.
	maxDatagram = 2048
)

func tcpCaps() Caps {
	return Caps{
		Name: "tcp", Streams: MaxStreams, Lifetime: maxStreamID / 2, DeadAfter: deadAfter, Rank: 1, Lanes: tcpLanes, MaxLanes: tcpMaxLanes,
	}
}

// quicCaps: QUIC collapses under bulk, so it ranks behind TCP.
func quicCaps() Caps {
	return Caps{
		Name: "quic", Streams: quicStreams, Lifetime: quicLifetime, DeadAfter: quicDeadAfter, Moves: true, Rank: 2,
		Lanes: quicLanes, MaxLanes: quicLanes,
	}
}
