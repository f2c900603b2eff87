package relay

import "time"

const (
	// smallBuffer, in bytes, is read into while an end sends little: most of a proxy's connections are idle or
	// carry small requests, and an end that does not notice when it becomes readable holds a buffer all the time.
	smallBuffer = 4 << 10
	// largeBuffer, in bytes, is used once an end fills small ones: large enough that the cost of a system
	// call no longer counts, small enough for a processor's cache.
	largeBuffer = 64 << 10

	// peekSize, in bytes, is how much of what a socket holds is looked at for the end of TLS: several session tickets.
	peekSize = 2 << 10

	// graceStep is how long what an end sent before its reset may take to make progress towards the other end.
	// An end that reads gets everything; one that does not read sees the reset after one step.
	graceStep = 250 * time.Millisecond
	// graceMax bounds all steps together, for an end that reads very slowly.
	graceMax = 5 * time.Second
	// flushStep is how often the socket's send queue is looked at before a reset discards it; there is no event for it.
	flushStep = time.Millisecond
	// flushMax bounds that: a queue that does not shrink has a reader that does not read.
	flushMax = 100 * time.Millisecond

	// HalfClosedIdle ends a connection of which one direction has ended while the other stays silent. Keepalives
	// notice hosts that are gone much earlier; this is for applications that forgot a socket. Long, because a
	// client may rightly wait this long for the answer to a request that it ended with a half-close.
	HalfClosedIdle = time.Hour
	// idleSteps is in how many steps a time without bytes is measured: what ends it is noticed at the end of a step.
	idleSteps = 4

	// Keepalive: a host that vanished while the connection was idle is noticed after
	// keepAliveIdle + keepAliveCount × keepAliveInterval, one minute.
	keepAliveIdle     = 30 * time.Second
	keepAliveInterval = 10 * time.Second
	keepAliveCount    = 3
	// silenceMax is how long a host may be silent that owes answers, as long as when it owes none: keepalives do not run
	// while data is unacknowledged, and the kernel's own limit (tcp_retries2) is about a quarter of an hour. Window probes of a
	// reader that stopped reading long ago are up to two minutes apart, so keepAliveCount of them may take six.
	silenceMax = time.Minute
	// lookInterval is how often all sockets are looked at for that. A look costs about a microsecond for each.
	lookInterval = 5 * time.Second
)
