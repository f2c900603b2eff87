package resolve

import "time"

const (
	// again is the time between two lookups of a name.
	again = 10 * time.Second
	// timeout bounds one lookup.
	timeout = 5 * time.Second
	// missedOften is in how many answers in a row an address has to be missing to be dropped: some servers answer with a part of what they have.
	missedOften = 3
	// maxAddresses bounds the addresses of one name that are dialed, the smallest first.
	maxAddresses = 16
)
