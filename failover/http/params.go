package http

import "time"

const (
	// maxHeaderBytes of a request's header and of an answer's: Envoy's default for requests is 60 KiB.
	maxHeaderBytes = 60 << 10
	// maxFields of a header: Envoy's default.
	maxFields = 100
	// peerHeaderBytes and peerFields are what proxies add to such a header for each other, at most: who calls, what was tried, and
	// which try it is. It comes on top, since the limits are meant for what applications send.
	peerHeaderBytes = 8 << 10
	peerFields      = 4
	// headerTimeout bounds how slowly a request's header may arrive.
	headerTimeout = 30 * time.Second
	// frontIdleTimeout is how long a client's connection may be idle between requests: Envoy's default is 1 h, and a client that
	// reuses a connection while it is closed loses a request, so it is long.
	frontIdleTimeout = time.Hour
	// maxStreams is how many requests one HTTP/2 connection of a client has under way; more wait.
	maxStreams = 1000

	// endpointWindow and peerWindow, in bytes, are how much of an HTTP/2 answer is taken from an endpoint, and through a peer, which
	// is further away, while its client does not read. bodyWindow is the same for a request's body.
	endpointWindow = 256 << 10
	peerWindow     = 1 << 20
	bodyWindow     = 256 << 10

	// lingerTime and lingerBytes bound how long a client whose request was refused is read on.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10

	// replayLimit, in bytes, is how much of a request's body is kept for another try. A longer body is sent once.
	replayLimit = 64 << 10
	// maxSafeTries bounds how often a request is sent again that no endpoint has executed.
	maxSafeTries = 16
	// maxSafeTime bounds for how long, where every candidate has been tried: a bit less than one connect timeout, so that one that swallows
	// connections is waited for once, by whichever proxy dials it. A service that is away for a moment is back by then.
	maxSafeTime = 4 * time.Second

	// idleTimeout of a connection to an endpoint, unless the endpoint names a shorter one (Keep-Alive: timeout). Servers
	// close after 60 s or more, or announce it.
	idleTimeout = 55 * time.Second
	// maxIdlePerTarget bounds the idle connections to one endpoint of a service port.
	maxIdlePerTarget = 128
	// streamIdleTimeout and maxIdleStreams are the same for streams to a peer. Each counts among those that the peer serves at
	// a time, of all services, and a new one takes no round trip more.
	streamIdleTimeout = 10 * time.Second
	maxIdleStreams    = 32
	// callerIdleTimeout is the same for a stream that only one caller may use: pauses between its requests are short, or it has gone.
	callerIdleTimeout = 2 * time.Second
	// refusalTime is how long the answer of a peer that reads no further may take.
	refusalTime = time.Second
	// leaveTime is how long the other end of an unused stream has to end it, too.
	leaveTime = time.Second
	// peerDrainTime is how long peers may go on using the connections that they keep when the proxy drains: many times what it
	// takes them to hear of it.
	peerDrainTime = 2 * time.Second
	// settingsTime is how long requests wait for the SETTINGS of a new HTTP/2 connection to an endpoint, before they make others. Servers send
	// them at once.
	settingsTime = time.Second
	// busyTime is how long nothing more is sent to a peer that has no place for a request.
	busyTime = time.Second
	// continueTimeout is how long an endpoint may take to answer "Expect: 100-continue" before the body is sent all the same.
	continueTimeout = 5 * time.Second
	// copyBuffer, in bytes, carries an answer's body, readBuffer a request's.
	copyBuffer = 32 << 10
	readBuffer = 16 << 10
	// freeRetries of a request that was not executed are not on the budget.
	freeRetries = 2
	// maxPushback is the longest grpc-retry-pushback-ms that is waited for; with a longer one nothing is repeated.
	maxPushback = 10 * time.Second
	// maxGRPCTimeout is the longest time that a caller's grpc-timeout is taken for.
	maxGRPCTimeout = 24 * time.Hour
	// manyBudgets is when budgets of service ports that are gone are looked for.
	manyBudgets = 1024
)
