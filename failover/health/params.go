package health

import "time"

const (
	// maxChecks is how many checks run at a time, each with one descriptor: enough for 250 silent endpoints with a timeout of 1 s and as
	// many that answer as there are. What is due waits for its turn.
	maxChecks = 256
	// maxPerService of them are of one service, so that one whose endpoints are all silent does not hold up the others.
	maxPerService = 64
	// jitter is the part of the interval by which a check may come earlier, so that the checks of all proxies and endpoints spread.
	jitter = 0.1
	// lateness is how long after its timeout a check may end. One that ends later does not count: this process was stopped.
	lateness = 500 * time.Millisecond
	// maxHeaderBytes bounds the header of an answer; health endpoints need some hundred bytes.
	maxHeaderBytes = 16 << 10
	// maxBodyBytes is how much of an answer's body is read, so that small ones end clean (kubelet: 10 KiB).
	maxBodyBytes = 10 << 10
	// maxReason bounds why a check failed, in bytes.
	maxReason = 128
	// maxProblems is how many services with unhealthy endpoints status lists.
	maxProblems = 16
	// gather is how long results are collected before the catalog gets them: when many endpoints fail at once it changes once.
	gather = 20 * time.Millisecond
	// logBurst lines about endpoints are written at once, then one every logInterval.
	logBurst    = 20
	logInterval = time.Second
)
