package link

import "time"

const (
	// MaxDelay is far more than any path on earth has, and keeps a slip of the
	// pen from filling the memory.
	MaxDelay = time.Minute
	// MinRate in bits per second: below it one packet takes longer than a second.
	MinRate = 8_000
	// MaxRate in bits per second: more than a process can carry by TUN devices.
	MaxRate = 100_000_000_000
	// MaxQueueBytes bounds what waits at the bottleneck.
	MaxQueueBytes = 1 << 30

	// DefaultQueueTime is the bottleneck queue of a link with a rate and no
	// queue length: as deep as those of ordinary access lines.
	DefaultQueueTime = 100 * time.Millisecond
	// DefaultMTU in bytes is that of most paths through the internet.
	DefaultMTU = 1500
	// MinMTU in bytes: IPv6 needs it (RFC 8200, section 5).
	MinMTU = 1280
	// MaxMTU in bytes is the longest IP packet.
	MaxMTU = 65535
	// DefaultDevice is the name of the TUN device at either end.
	DefaultDevice = "wan0"

	// maxHeld is how many packets one direction holds at most, waiting and
	// traveling: 10 Gbit/s for 50 ms, about 100 MB of buffers.
	maxHeld = 1 << 16
	// jitterPeriod in multiples of the jitter: how long the delay takes to go
	// from one random value to the next. The delay thus never falls by more
	// than half the time that passes, so that no packet catches up with the
	// one before it.
	jitterPeriod = 4

	// deviceQueue in packets is the kernel's queue towards us. It must hold what
	// comes in while we are not scheduled (30 ms at 3 Gbit/s), since only the
	// line's own queue is meant to drop.
	deviceQueue = 10_000
	// batch is how many packets are read before those that are due are delivered:
	// few enough to take about 100 µs.
	batch = 32
	// coalesce is by how much a packet may be delivered early when the thread is
	// awake anyway: saves most wake-ups at high rates, and is below what is
	// measurable at the delays of a WAN (see coalesceShare for short ones).
	coalesce = 150 * time.Microsecond
	// coalesceShare limits that to this part of the delay: 2 %.
	coalesceShare = 50
	// niceness of the threads that move packets: on a busy machine the line has to be
	// on time although the programs that it joins are not. Measured with 20 busy
	// programs on two cores: medians some milliseconds late.
	niceness = -20
	// realTimePriority (sched(7), SCHED_RR) of all threads of a punctual process, the
	// lowest one. Measured as above: medians within 0.2 ms. The threads that move
	// packets must not have a higher one: Go's runtime spins in sched_yield(2), which
	// lets only threads of the same priority run, and would wait forever.
	realTimePriority = 1
	// processors is for how many goroutines a punctual process has room at least.
	processors = 8
	// addressTime is how long the kernel may take to make an IPv6 address reachable,
	// and addressTick how often that is looked at.
	addressTime = 10 * time.Second
	addressTick = time.Millisecond
	// timerSlackNanoseconds is how late the kernel may make a wait end on purpose,
	// to save power; 50 µs otherwise.
	timerSlackNanoseconds = 1
)
