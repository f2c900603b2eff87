package link

import (
	"math/rand/v2"
	"time"
)

// line is the model of one direction. It has no clock: each method gets the
// time since some fixed moment, which never goes back. It is not safe for
// concurrent use.
type line struct {
	settings Settings
	chance   *rand.Rand
	wander   wander
	counters Counters

	waiting      fifo[[]byte] // at the bottleneck, the first one being sent
	waitingBytes int64
	sent         time.Duration // when the first of waiting will have left
	traveling    fifo[traveler]

	travelingBytes int64
}

// traveler is a packet behind the bottleneck.
type traveler struct {
	data []byte
	// left the bottleneck then, plus jitter. The delay is not in it, so that a
	// change of the delay holds for what is already on the way.
	left time.Duration
}

// newLine makes a line of which the n-th packet's loss depends on seed, n and
// Settings.Loss alone.
func newLine(s Settings, seed uint64) *line {
	return &line{
		settings: s,
		chance:   rand.New(rand.NewPCG(seed, 1)),
		wander:   wander{rand: rand.New(rand.NewPCG(seed, 2))},
	}
}

// set changes what the line does from now on.
func (l *line) set(now time.Duration, s Settings) {
	l.advance(now)
	old := l.settings
	l.settings = s
	switch {
	case s.Silent:
		l.silence()
	case l.waiting.len() == 0:
	case s.Rate == 0:
		for l.waiting.len() > 0 {
			l.leave(now)
		}
	default: // what is left of the first packet goes at the new rate
		remaining := float64(l.sent-now) * float64(old.Rate) / float64(s.Rate)
		l.sent = now + time.Duration(remaining)
	}
}

// silence forgets what is on the way.
func (l *line) silence() {
	for l.traveling.len() > 0 {
		l.counters.Silenced.add(len(l.arrive()))
	}
	for l.waiting.len() > 0 {
		l.counters.Silenced.add(len(l.waiting.pop()))
	}
	l.waitingBytes = 0
}

// enter takes a packet, and reports whether it keeps its bytes.
func (l *line) enter(now time.Duration, packet []byte) bool {
	l.advance(now)
	l.counters.Entered.add(len(packet))
	lost := l.chance.Float64() < l.settings.Loss // drawn for each, so that the n-th packet's lot is its own
	held := l.waiting.len() + l.traveling.len()
	waitingBytes := l.waitingBytes + int64(len(packet))
	switch {
	case l.settings.Silent:
		l.counters.Silenced.add(len(packet))
		return false
	case lost:
		l.counters.Lost.add(len(packet))
		return false
	case held >= maxHeld, l.waiting.len() > 0 && waitingBytes > l.settings.queueBytes():
		l.counters.QueueDropped.add(len(packet))
		return false
	case l.settings.Rate == 0:
		l.travel(now, packet)
		return true
	}
	if l.waiting.len() == 0 {
		l.sent = now + l.settings.transmission(len(packet))
	}
	l.waiting.push(packet)
	l.waitingBytes = waitingBytes
	return true
}

// advance lets the packets leave the bottleneck that have done so by now.
func (l *line) advance(now time.Duration) {
	for l.waiting.len() > 0 && l.sent <= now {
		sent := l.sent
		l.leave(sent)
		if l.waiting.len() > 0 {
			l.sent = sent + l.settings.transmission(len(l.waiting.first()))
		}
	}
}

// leave moves the first packet from the bottleneck to the way behind it.
func (l *line) leave(at time.Duration) {
	packet := l.waiting.pop()
	l.waitingBytes -= int64(len(packet))
	l.travel(at, packet)
}

func (l *line) travel(at time.Duration, packet []byte) {
	l.traveling.push(traveler{data: packet, left: at + l.wander.at(at, l.settings.Jitter)})
	l.travelingBytes += int64(len(packet))
}

// due returns the next packet that is to be delivered by now, nil if none is.
// The caller counts it.
func (l *line) due(now time.Duration) []byte {
	l.advance(now)
	if l.traveling.len() == 0 || l.traveling.first().left+l.settings.Delay-l.settings.early() > now {
		return nil
	}
	return l.arrive()
}

// arrive takes the first packet that travels.
func (l *line) arrive() []byte {
	packet := l.traveling.pop().data
	l.travelingBytes -= int64(len(packet))
	return packet
}

// next is when due is worth another call, and whether there is anything to
// wait for at all. It is a little before a packet is due, since a thread that
// waits until then wakes a little later.
func (l *line) next() (time.Duration, bool) {
	ahead := l.settings.early() / 2
	switch {
	case l.traveling.len() > 0:
		return l.traveling.first().left + l.settings.Delay - ahead, true
	case l.waiting.len() > 0: // due once it has left, and jitter may make the way shorter
		return l.sent + max(0, l.settings.Delay-l.settings.Jitter-ahead), true
	}
	return 0, false
}

// count returns the counters.
func (l *line) count() Counters {
	c := l.counters
	c.OnTheWay = Count{
		Packets: uint64(l.waiting.len() + l.traveling.len()), // lengths are not negative
		Bytes:   uint64(l.waitingBytes + l.travelingBytes),
	}
	return c
}
