package server

import "time"

const (
	// answerSize is the largest answer over UDP, in bytes: what passes without fragments on any path (DNS flag day 2020).
	answerSize = 1232
	// plainSize is that to clients without EDNS (RFC 1035).
	plainSize = 512
	// querySize is how much of a query is read, in bytes; one has a name of 255 and a few options.
	querySize = 4096
	// DefaultRate is how many responses over UDP the clients of one /24 or /56 get in a second. A resolver asks once per TTL and
	// name, so hundreds of them fit; a victim of spoofed queries gets less than 50 KB/s.
	DefaultRate = 200
	// slip is which one of the responses above the limit is sent, without answers: a true client then comes back over TCP.
	slip = 2
	// maxClients is how many /24 and /56 are counted in a second, about 10 MB; further ones share sharedCounts.
	maxClients   = 100_000
	sharedCounts = 4096
	// maxGlue is how many addresses of name servers an answer over UDP has; resolvers have them from the parent zone as well.
	maxGlue = 8
	// maxConns is how many TCP connections there may be; each costs about 10 KB. When one more comes, the client with the most loses
	// its oldest.
	maxConns = 512
	// maxConnsPerClient of those are of one IPv4 address or IPv6 /64.
	maxConnsPerClient = 32
	// idleTime is how long a connection may be without a query, and how long one may take to arrive or an answer to be taken (RFC 7766,
	// section 6.2.3: a few seconds).
	idleTime = 10 * time.Second
	// acceptPause is the pause after a failed accept or read, such as for want of descriptors.
	acceptPause = 50 * time.Millisecond
)
