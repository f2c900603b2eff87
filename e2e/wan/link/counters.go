package link

import "fmt"

// Count is a number of packets and of their bytes, IP headers included.
type Count struct {
	Packets, Bytes uint64
}

func (c *Count) add(bytes int) {
	c.Packets++
	c.Bytes += uint64(bytes) // a length is not negative
}

// String is, for instance, "3 packets, 180 bytes".
func (c Count) String() string { return fmt.Sprintf("%d packets, %d bytes", c.Packets, c.Bytes) }

// Counters are what has become of one direction's packets since the link was
// opened. At any time Entered is the sum of the others.
type Counters struct {
	// Entered were read from the device where the direction begins.
	Entered Count
	// OnTheWay wait at the bottleneck or travel.
	OnTheWay Count
	// Delivered were handed over to the device where the direction ends.
	Delivered Count
	// Lost by chance (Settings.Loss).
	Lost Count
	// QueueDropped did not fit into the bottleneck's queue.
	QueueDropped Count
	// Silenced entered or were on the way while Settings.Silent was set.
	Silenced Count
	// Undeliverable were refused by the device where the direction ends, because
	// it was set down from outside.
	Undeliverable Count
}
