package watch

import "time"

const (
	// confirmParts: after a failure that is not confirmed yet, the next probe comes after this part of the interval.
	confirmParts = 4
	// maxProbes is how many probes may be under way, a descriptor each; more wait. maxSilentProbes are of addresses that are out since their
	// probes failed.
	maxProbes       = 768
	maxSilentProbes = 256
	// maxProbeHeader is how much of an answer's header a probe reads, in bytes; of its body nothing.
	maxProbeHeader = 16 << 10
	// maxReason is how much of an error is kept, in bytes.
	maxReason = 200
	// pollInterval is the time between two looks at the proxy; a look that takes long makes it longer, so that pollShare of the time at
	// most goes into it, up to maxPollPause: what the proxy said counts for less than a minute.
	pollInterval = time.Second
	pollShare    = 10
	maxPollPause = 5 * time.Second
	// minLookup and maxLookup bound the time between lookups of an entry's name: load balancers change their addresses.
	minLookup = time.Second
	maxLookup = time.Minute
	// retryMin and retryMax bound the pause after a lookup that failed, which doubles.
	retryMin = time.Second
	retryMax = 30 * time.Second
	// lookupTimeout bounds one lookup.
	lookupTimeout = 5 * time.Second
	// maxFound is how many addresses of a name are used of each family, the smallest ones.
	maxFound = 16
	// settleTime is how long the first results are waited for, before queries are answered without them.
	settleTime = 3 * time.Second
)
