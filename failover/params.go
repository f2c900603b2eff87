package failover

import "time"

const (
	// defaultConnectBudget bounds all attempts of one connection together: longer than a caller's usual connect
	// timeout would be of no use to it, shorter would give up on a far peer that needs several tries.
	defaultConnectBudget = 15 * time.Second
	// defaultMaxConnections of all listeners together; with 64 KiB of replay copy each they could hold 1 GiB at worst.
	defaultMaxConnections = 16384
	// defaultMaxPerListener keeps one service's callers from using up the limit of all.
	defaultMaxPerListener = 8192
	// defaultMaxStreams of all peers together are served at a time.
	defaultMaxStreams = 16384
	// defaultMaxStreamsPerPeer is about what the lanes of one link carry. One service gets three quarters of it at most.
	defaultMaxStreamsPerPeer = 8192
	// peersLook is how often the tunnels are looked at for peers that can be used now, or no longer.
	peersLook = 100 * time.Millisecond
	// maxOwnCalls is how many calls of `eastway probe` may be under way at a proxy.
	maxOwnCalls = 8
	// maxEarlyLines of the access log are kept, while a probe is under way, that may be its own.
	maxEarlyLines = 256
	// maxProbeAnswer is how much of an answer a probe reads, in bytes.
	maxProbeAnswer = 1 << 20
	// MaxProbeTime bounds a probe.
	MaxProbeTime = time.Minute
	// probeGrace is the time for the line of the access log behind the end of a probe's connection.
	probeGrace = 2 * time.Second
)
