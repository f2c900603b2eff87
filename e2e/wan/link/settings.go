package link

import (
	"fmt"
	"time"
)

// Settings are what one direction of a link does to packets. The zero value
// delivers all of them at once.
type Settings struct {
	// Delay of a packet from the bottleneck to the other end; 0 … MaxDelay.
	Delay time.Duration
	// Jitter is by how much the delay wanders up and down at random: a new value
	// in Delay ± Jitter is drawn every four Jitters, and the delay moves
	// steadily from one to the next. At most Delay.
	Jitter time.Duration
	// Loss is the share of packets lost by chance, each independently, before
	// the bottleneck; 0 … 1.
	Loss float64
	// Rate of the bottleneck in bits per second, of whole IP packets; 0: no limit.
	Rate int64
	// QueueTime is the length of the bottleneck's queue in time at Rate. Neither
	// it nor QueueBytes set: DefaultQueueTime.
	QueueTime time.Duration
	// QueueBytes is the length of the bottleneck's queue in bytes of IP packets.
	// A packet always fits into an empty queue. Not together with QueueTime.
	QueueBytes int64
	// Silent lets nothing arrive, from the moment when it is set: what is on
	// the way is gone as well, as if the cable had been cut.
	Silent bool
}

// Validate names the field that is wrong.
func (s Settings) Validate() error {
	if s.Delay < 0 || s.Delay > MaxDelay {
		return fmt.Errorf("link: Settings.Delay is %v, must be from 0 to %v", s.Delay, MaxDelay)
	}
	if s.Jitter < 0 || s.Jitter > s.Delay {
		return fmt.Errorf("link: Settings.Jitter is %v, must be from 0 to Settings.Delay (%v)", s.Jitter, s.Delay)
	}
	if !(s.Loss >= 0 && s.Loss <= 1) { // not a number is neither
		return fmt.Errorf("link: Settings.Loss is %v, must be from 0 to 1", s.Loss)
	}
	return s.validateQueue()
}

// validateQueue names the field of the bottleneck that is wrong.
func (s Settings) validateQueue() error {
	switch {
	case s.Rate != 0 && (s.Rate < MinRate || s.Rate > MaxRate):
		return fmt.Errorf("link: Settings.Rate is %d bit/s, must be 0 (no limit) or from %d to %d", s.Rate, int64(MinRate), int64(MaxRate))
	case s.QueueTime < 0 || s.QueueTime > MaxDelay:
		return fmt.Errorf("link: Settings.QueueTime is %v, must be from 0 to %v", s.QueueTime, MaxDelay)
	case s.QueueBytes < 0 || s.QueueBytes > MaxQueueBytes:
		return fmt.Errorf("link: Settings.QueueBytes is %d, must be from 0 to %d", s.QueueBytes, int64(MaxQueueBytes))
	case s.QueueTime != 0 && s.QueueBytes != 0:
		return fmt.Errorf("link: Settings.QueueTime (%v) and Settings.QueueBytes (%d) are both set, choose one", s.QueueTime, s.QueueBytes)
	}
	return nil
}

// queueBytes is the length of the bottleneck's queue.
func (s Settings) queueBytes() int64 {
	if s.QueueBytes != 0 {
		return s.QueueBytes
	}
	length := s.QueueTime
	if length == 0 {
		length = DefaultQueueTime
	}
	return int64(length.Seconds() * float64(s.Rate) / 8)
}

// transmission is how long the bottleneck takes to send so many bytes.
func (s Settings) transmission(bytes int) time.Duration {
	return time.Duration(int64(bytes) * 8 * int64(time.Second) / s.Rate)
}

// early is by how much a packet may be delivered before it is due.
func (s Settings) early() time.Duration { return min(coalesce, s.Delay/coalesceShare) }
