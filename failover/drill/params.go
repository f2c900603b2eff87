package drill

import "time"

const (
	// Lease is how long a run goes on after its operator was heard from last: a crashed terminal or a lost network ends it.
	Lease = 5 * time.Second
	// MaxTime is the longest run; a longer one is no drill, but a setting.
	MaxTime = time.Hour
	// MaxDelay is what calls of a latency drill wait at most; most clients give up before.
	MaxDelay = 30 * time.Second
	// minPercent is the least part of the calls; of less nothing can be learned.
	minPercent = 0.01
	// maxPending is how many affected calls may be without a result at a time, beyond what the budget allows to fail: they have begun when
	// the first failure shows.
	maxPending = 100
	// leaseCheck is how often a call that waits looks whether the lease is over.
	leaseCheck = time.Second
	// maxCallers bounds the networks of callers of one run: they are compared with each call.
	maxCallers = 64
	// maxMoves bounds the places that a report tells apart; calls to others are counted as one.
	maxMoves = 64
	// shortest is the upper end of a histogram's first bucket, growth how much wider each next one is: 160 of them end at 7 minutes.
	shortest = 100 * time.Microsecond
	growth   = 1.1
	buckets  = 160
)
