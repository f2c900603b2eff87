package serve

import "time"

const (
	// DefaultMaxConns is how many connections of clients one process holds: at about 40 KiB for an idle one of TLS, 640 MiB at most.
	DefaultMaxConns = 16_384
	// DefaultDrainTimeout is how long requests may go on after the listeners have closed.
	DefaultDrainTimeout = 30 * time.Second
	// sourceShare: one source, an IPv4 address or IPv6 /64, holds at most one in so many of all connections.
	sourceShare = 4
	// minSourceConns is what a source may hold at the least, where connections are few.
	minSourceConns = 16

	// maxHeaderBytes and maxFields of a request's header and of an answer's: Envoy's defaults for requests.
	maxHeaderBytes = 60 << 10
	maxFields      = 100
	// headerTimeout bounds how slowly a handshake of TLS, the first bytes, or a request's header may arrive.
	headerTimeout = 10 * time.Second
	// idleTimeout of a client's connection between requests is longer than that of load balancers in front (Google's: 600 s), so that
	// they, who know when they send, close first. Idle connections make room for new ones.
	idleTimeout = 620 * time.Second
	// maxStreams is how many requests one HTTP/2 connection has under way.
	maxStreams = 128
	// bodyWindow, in bytes, is how much of an HTTP/2 request's body is taken while the backend does not read.
	bodyWindow = 256 << 10

	// bodyIdle is how long a request's body, and a client that does not read its answer, may stand still.
	bodyIdle = 30 * time.Second
	// bodyGrace and bodyRate bound the time that is spent waiting for a body: so long, and a second for each so many bytes.
	bodyGrace = 30 * time.Second
	bodyRate  = 512

	// lingerTime and lingerBytes bound how long a client whose request was refused is read on.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10

	// acceptBackoffMin and acceptBackoffMax: pauses after a failed accept, doubled each time.
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second

	// dialTimeout of one attempt to connect to a backend, and maxDials attempts, dialPause apart: nothing was sent by then.
	dialTimeout = 5 * time.Second
	maxDials    = 3
	dialPause   = 50 * time.Millisecond
	// backendIdle of a connection to a backend: servers close after 60 s or more.
	backendIdle = 55 * time.Second
	// briefIdle is that of connections for requests that are not sent again: some servers close after 5 s, Node.js for one, and a request
	// that meets the end of its connection gets 502.
	briefIdle = 2 * time.Second
	// maxIdlePerBackend bounds the idle connections to one backend.
	maxIdlePerBackend = 128
	// continueTimeout is how long a backend may take to answer "Expect: 100-continue" before the body is sent all the same.
	continueTimeout = 5 * time.Second
	// pingAfter and pingTimeout find HTTP/2 connections to backends that are dead.
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
	// copyBuffer, in bytes, carries an answer's body.
	copyBuffer = 32 << 10

	// maxMirrors is how many copies of requests are under way at a time, each for mirrorTimeout at most. maxMirrorBody, in bytes, is the
	// longest body that is copied.
	maxMirrors    = 128
	mirrorTimeout = 10 * time.Second
	maxMirrorBody = 64 << 10

	// expiryWarning is how long before a certificate's end status and the log name it: cert-manager renews those of 90 days 30 days ahead.
	expiryWarning = 14 * 24 * time.Hour
)
