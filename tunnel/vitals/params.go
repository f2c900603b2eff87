package vitals

import "time"

// Measured on an emulated WAN: pings every 300 ms with a limit of 1 s notice a silent peer in 0.9–1.3 s and gave no false alarm at 3 %
// loss.
const (
	// Tick is how often a link is looked at.
	Tick = 100 * time.Millisecond
	// SuspectAfter is the least silence that makes a link suspect; at least SuspectRTTs round trips.
	SuspectAfter = time.Second
	SuspectRTTs  = 4
	// DeadAfter is the silence after which a link's streams are given up.
	DeadAfter = 6 * time.Second
	// GoneAfter is the same where all connections of a transport have ended, as when the peer's process is killed, and nothing was
	// heard on the others since; at least goneRTTs round trips. Sockets of a network that only fell silent do not end.
	GoneAfter = 2 * time.Second
	goneRTTs  = 8
	// NoControlAfter is how long a link may be without a control connection while its lanes are heard: they carry
	// their streams all the same, only resets past a full window wait.
	NoControlAfter = 30 * time.Second
	// pauseSlack is how late a tick may come before the delay counts as our own pause (a stopped or starved
	// process), which is not the peer's silence.
	pauseSlack = 300 * time.Millisecond
)
