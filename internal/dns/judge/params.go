package judge

import "time"

const (
	// holdMin is how long an address that goes out for the second time stays out at least; it doubles each time, up to holdMax. The first
	// time there is no hold: an entry that was restarted returns as soon as it passes its probes.
	holdMin = 10 * time.Second
	holdMax = 5 * time.Minute
	// calm is how long an address must be in until its past is forgotten.
	calm = 10 * time.Minute
	// silenceHold is how long what the data plane reported last counts after it falls silent: a tunnel that comes and goes must not
	// move an entry in and out.
	silenceHold = 30 * time.Second
	// evidenceRepeats is how many reports in a row that differ change the verdict: a rollout may leave nothing ready for a moment.
	evidenceRepeats = 2
	// replaceTime is how long addresses that are gone from the entry's name stay in, while the new ones have not been probed: a few
	// intervals of a probe.
	replaceTime = 10 * time.Second
	// maxPast is of how many addresses that an entry had its past is kept, for as long as calm: one that comes back is held as before.
	maxPast = 32
	// maxGone is how many addresses that are gone may still be answered; the oldest make room.
	maxGone = 32
)
