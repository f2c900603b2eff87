package listen

import "time"

const (
	// acceptBackoffMin and acceptBackoffMax: pauses after a failed accept (out of descriptors), doubled each time.
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second
	// listenBackoffMin and listenBackoffMax: pauses between tries to open a listener that failed, doubled each time.
	listenBackoffMin = time.Second
	listenBackoffMax = 30 * time.Second
)
