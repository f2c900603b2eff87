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
	// defaultMaxStreamsPerPeer is how many streams of one peer are served at a time.
	defaultMaxStreamsPerPeer = 4096
)
