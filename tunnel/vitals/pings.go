package vitals

import "time"

// Pings are one connection's. A ping that is not answered is not followed by another, so a slow line is not
// filled with them.
type Pings struct {
	sequence uint64
	sent     time.Time
	waiting  bool
	srtt     time.Duration
}

// Waiting means that one has no answer yet.
func (p *Pings) Waiting() bool { return p.waiting }

// RTT is the smoothed round trip; 0: not measured.
func (p *Pings) RTT() time.Duration { return p.srtt }

// Due says whether to ping now, and counts the ping as sent.
func (p *Pings) Due(now time.Time, interval time.Duration) (uint64, bool) {
	if p.waiting || now.Sub(p.sent) < interval {
		return 0, false
	}
	return p.Again(now), true
}

// Again counts a ping as sent that takes the place of the one before.
func (p *Pings) Again(now time.Time) uint64 {
	p.sequence++
	p.sent, p.waiting = now, true
	return p.sequence
}

// Pong takes an answer, and says when the ping was sent; wrong or old sequences change nothing.
func (p *Pings) Pong(sequence uint64, now time.Time) (sent time.Time, ok bool) {
	if !p.waiting || sequence != p.sequence {
		return time.Time{}, false
	}
	p.waiting = false
	sample := now.Sub(p.sent)
	if p.srtt == 0 {
		p.srtt = sample
	} else {
		p.srtt += (sample - p.srtt) / 8 // RFC 6298's gain
	}
	return p.sent, true
}
