package chain

import "time"

// Ports of an application.
const (
	Port        = 8000 // HTTP
	StreamPort  = 8001 // TCP
	JournalPort = 8002 // HTTP: /executions
	TLSPort     = 8443 // HTTPS, with a certificate
	ExpiredPort = 8444 // HTTPS, with one that has expired
)

const (
	// maxBody bounds what an application takes from its caller, in bytes.
	maxBody = 64 << 10
	// RequestTimeout is how long a caller waits for an answer: much longer than a
	// peer that fell silent takes to be declared dead, on a busy computer.
	RequestTimeout = 30 * time.Second
	// headerTimeout bounds a client that connects and says nothing: a connection
	// that a proxy opened ahead of time may wait this long for its first byte.
	headerTimeout = 30 * time.Second
	// lameTime of an application whose Config has none.
	lameTime = 5 * time.Second
	// endTime is for what is under way after that.
	endTime = 5 * time.Second
	// nameTime is how long an address is taken for a name's before it is asked
	// for again; it stays in use until that is answered.
	nameTime = 5 * time.Second
)
