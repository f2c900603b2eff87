package takeover

import "time"

// Probing.
const (
	// probeInterval is the time between two probes of a near proxy; with probeTimeout a hung one is out within a second.
	probeInterval = 300 * time.Millisecond
	// farInterval is the same for the others, which every node of a large cluster would probe otherwise.
	farInterval = 3 * time.Second
	// usedProxies at most get the calls of one service from one node, however many are equally near: enough to spread load
	// and failures, few enough to be probed often by every node of a large cluster. So many are probed at probeInterval in
	// any case, since they are the ones to take over.
	usedProxies = 8
	// probeTimeout bounds one probe. A healthy proxy answers in a few milliseconds, a starved one in some hundred.
	probeTimeout = 600 * time.Millisecond
	// pauseSlack is how much later than probeTimeout a probe may end before that counts as our own pause (a stopped
	// or starved agent), which is not the proxy's silence. Measured on two busy cores: 50 ms are seldom exceeded.
	pauseSlack = 250 * time.Millisecond
	// lateInterval is the time between two looks at how late the agent itself runs: a pause that is shorter is not seen.
	lateInterval = 50 * time.Millisecond
	// lateSlack is how long the agent may be kept from running during a probe that times out, for that to be the proxy's silence: a
	// quarter of probeTimeout. Of what is left a healthy proxy takes a hundredth.
	lateSlack = 150 * time.Millisecond
	// maxPauses in a row count for nothing; the next makes the proxy suspect, so that one that answers gets the calls.
	maxPauses = 3
	// suspectLife is how long a proxy may let all probes time out before it is silent: five probes. One is no evidence, but calls
	// to a proxy that hangs must not be lost for long where kube-proxy has endpoints.
	suspectLife = 3 * time.Second
	// suspectTimeouts in a row at least: time alone may be the agent's own pause.
	suspectTimeouts = 3
	// minProbeGap keeps slow probes from following each other without a break.
	minProbeGap = 100 * time.Millisecond
	// risingProbes in a row must succeed before a proxy that had failed is used again.
	risingProbes = 2
	// maxReportBytes bounds an answer: 10,000 listeners of usual names take 600 KiB, of the longest ones 2 MiB.
	maxReportBytes = 4 << 20
	// maxReadyBytes of a /readyz response are read, so that its connection can be reused.
	maxReadyBytes = 4 << 10
	// maxListeners of one proxy: the range of listener ports is smaller.
	maxListeners = 20_000
	// maxProxies is how many of their addresses are known: of as many as the chart allows, with two each. Each costs a goroutine
	// and a connection.
	maxProxies = 2000
)

// Writing.
const (
	// EntryLife outlives the restart of an agent, about 2 s if its image is present, and a slow one twice over.
	EntryLife = 15 * time.Second
	// refreshInterval leaves room for three failed writes before entries end.
	refreshInterval = 4 * time.Second
	// minWriteGap gathers changes that come together, as when a proxy with many listeners starts.
	minWriteGap = 100 * time.Millisecond
	// workShare bounds the part of one core that many changes may take: after a round that took t, the next one that is not urgent
	// starts workShare times t later, but at most maxRest later. With 15,000 services a round takes 0.3 s. Reading a proxy's
	// listeners follows the same rule.
	workShare = 10
	maxRest   = 5 * time.Second
	// retryInterval is the time between attempts to write while that fails.
	retryInterval = time.Second
	// maxServices bounds taken-over Services and those of imports together, as the tables do.
	maxServices = 20_000
)

// The packet check.
const (
	checkInterval = 30 * time.Second
	// checkRetry is the time to the next attempt after one that failed.
	checkRetry = time.Second
	// checkFailures in a row make it known: one may be a busy machine.
	checkFailures = 3
	checkTimeout  = 2 * time.Second
	// checkPrompt is within what time the check's own listener answers on a node that is not short of CPU time: a hundred times what it takes.
	checkPrompt = 100 * time.Millisecond
	// checkMark has only bits that kube-proxy (0xc000), Cilium (0x0f00), Calico (0xffff0000), AWS (0x80) and
	// Tailscale (0xff0000) leave alone.
	checkMark = 0x35
)

// The API server and the snapshot.
const (
	// nodeRefresh is the time after which a Node's labels are read again: region and zone may be set late.
	nodeRefresh = 10 * time.Minute
	// nodeRetry is the same after an attempt that failed.
	nodeRetry = 10 * time.Second
	// apiTimeout bounds one request.
	apiTimeout = 5 * time.Second
	// removalTimeout bounds the question, at the end, whether the DaemonSet is still wanted.
	removalTimeout = 2 * time.Second
	// maxSnapshotBytes bounds what is read: maxServices with two ports each take 6 MiB.
	maxSnapshotBytes = 32 << 20
)

// stuckAfter is how long the main loop may be silent before /healthz fails; it wakes every refreshInterval.
const stuckAfter = 30 * time.Second
