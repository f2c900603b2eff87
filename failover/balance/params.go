package balance

import "time"

const (
	// defaultConnectTimeout bounds one attempt (policy connectionPool.tcp.connectTimeout): one retransmitted SYN
	// (1 s) and the next (3 s) still fit.
	defaultConnectTimeout = 5 * time.Second
	// MaxPerLevel bounds how many endpoints of one level one connection tries, so that a service with a thousand
	// dead endpoints does not keep a connection busy; ejection shortens the list long before.
	MaxPerLevel = 16
	// rampTime is how long an endpoint that came back takes until it gets its full share again.
	rampTime = 10 * time.Second
	// rampStart is the share that it begins with.
	rampStart = 0.1
	// rttStep is the grain in which peers' round trips are compared, so that jitter does not change their order.
	rttStep = 5 * time.Millisecond
	// failurePercentageVolume is how many answers a target needs in an interval before their share of errors means something,
	// failurePercentageHosts how many targets need them (Envoy's failure_percentage_request_volume and _minimum_hosts).
	failurePercentageVolume = 50
	failurePercentageHosts  = 5
	// beliefFactor is how many times as many endpoints a peer may claim as all that claim fewer in its level, before it has served as many
	// calls at a time: within it, which are most cases, calls are divided by what peers claim from the first one on.
	beliefFactor = 4
	// evenLoad is how many more connections an endpoint may have than another one to count as equally loaded: with two endpoints and one
	// connection, half of the next ones go to either. evenShare is the same as a part of the load: a tenth more does not slow an endpoint.
	evenLoad  = 1
	evenShare = 0.1
	// maxHold bounds how long a peer's retry-after keeps connections of a service away from it.
	maxHold = 10 * time.Second
	// roundLag is how many connections per endpoint a target of ROUND_ROBIN may make up for: as many as are chosen at the same moment.
	roundLag = 4
	// maxProbes is how many probes run at a time, of own endpoints and of peers each.
	maxProbes = 16
	// maxPlacings bounds how often candidates are placed to compute their shares, all cases times all candidates: about a second. Beyond
	// that maxTriedCalls are tried out, or as many as it leaves.
	maxPlacings   = 2_000_000
	maxTriedCalls = 10_000
)
