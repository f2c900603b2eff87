package conn

import "time"

const (
	// bufferSize, in bytes, is how much is read and written at a time of a head. Bodies are read into the caller's memory.
	bufferSize = 4 << 10
	// writeTime is how long a request may still be written when its answer has ended, for the connection to be used again: the answer to
	// a body may overtake the report that its last byte was written.
	writeTime = 50 * time.Millisecond
	// answerTime is how long the answer of an endpoint may take that reads no more of its request: it has been sent already, but a
	// stream of a peer may have some of it on its way.
	answerTime = time.Second
	// keepAliveMargin is how much earlier than announced a connection is given up: a request must not meet its end.
	keepAliveMargin = time.Second
)
