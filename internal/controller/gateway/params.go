package gateway

import "time"

const (
	// firstNumber is the first of the entries' ports for listeners: below Kubernetes' node ports and Linux' ephemeral ones.
	firstNumber = 20000
	// maxNumbers is how many they are.
	maxNumbers = 10_000

	// maxAddresses is how many addresses a Gateway's status may have.
	maxAddresses = 16
	// maxMessage bounds the text of an event, in bytes.
	maxMessage = 1024

	// settle is how long events of one Gateway are gathered before it is looked at: its own writes come back as events too.
	settle = 100 * time.Millisecond
	// again is when a Gateway is looked at again that cannot have what it needs.
	again = time.Minute
	// waitMin and waitMax bound the pauses between checks for Gateway API's definitions and the rights to read its objects.
	waitMin = time.Second
	waitMax = 15 * time.Second
)

// Backoff of a Gateway or class that cannot be brought into line.
const (
	retryMin = 200 * time.Millisecond
	retryMax = time.Minute // the longest that a user waits after a repair
)
