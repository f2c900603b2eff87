package simnet

import (
	"time"
)

// segment is what arrives at one moment.
type segment struct {
	at   time.Time
	data []byte
	fin  bool
	rst  bool
}

// pipe is one direction of a connection: what from sends and to receives.
type pipe struct {
	from, to *Conn
	flight   []segment
	arrived  [][]byte // at to's kernel, not read yet
	unread   int      // bytes of it
	eof      bool     // the FIN has arrived
	size     int      // of the buffer
	used     int      // bytes of the buffer in use: in flight, arrived, or read and not acknowledged
	owed     int      // of used: read, but the acknowledgement does not get through
	sent     int64    // bytes that were written
	cutAt    int64    // the connection is cut once so many were sent; below 0: never
	cutFIN   bool     // cut with a FIN, not with a RST
	last     time.Time
	stalled  bool      // the first segment in flight waits for a silence to end
	since    time.Time // when it began to
	timer    *time.Timer
	giveUp   *time.Timer
}

func newPipe(from, to *Conn) *pipe { return &pipe{from: from, to: to, size: bufferSize, cutAt: -1} }

func (p *pipe) net() *Network { return p.from.net }

// write takes what fits, in one segment.
func (p *pipe) write(b []byte) int {
	n := min(len(b), p.size-p.used, segmentSize)
	cut := p.cutAt >= 0 && p.sent+int64(n) >= p.cutAt
	if cut {
		n = max(int(p.cutAt-p.sent), 0)
	}
	if n > 0 {
		p.sent += int64(n)
		p.used += n
		p.push(segment{data: append([]byte(nil), b[:n]...)})
	}
	if cut {
		p.push(segment{rst: !p.cutFIN, fin: p.cutFIN})
		p.from.broke(errReset) // what has passed the cut still arrives
	}
	return n
}

func (p *pipe) push(s segment) {
	n := p.net()
	s.at = n.arrival(p.from.local.Addr(), p.from.remote.Addr(), len(s.data)).
		Add(p.from.proc.host.delay() + p.to.proc.host.delay())
	if s.at.Before(p.last) {
		s.at = p.last
	}
	p.last = s.at
	p.flight = append(p.flight, s)
	n.conns[p.from] = struct{}{}
	if len(p.flight) == 1 {
		p.arm()
	}
}

// arm has deliver called when the first segment arrives.
func (p *pipe) arm() {
	if len(p.flight) == 0 || p.stalled {
		return
	}
	p.timer = time.AfterFunc(time.Until(p.flight[0].at), func() {
		n := p.net()
		n.mu.Lock()
		defer n.mu.Unlock()
		p.deliver()
	})
}

// deliver takes in what has arrived by now.
func (p *pipe) deliver() {
	n, now := p.net(), time.Now()
	for len(p.flight) > 0 && !p.flight[0].at.After(now) {
		if !n.reaches(p.from.local.Addr(), p.from.remote.Addr()) {
			p.stall()
			return
		}
		if paused := p.to.proc.host.paused; paused.After(now) {
			p.flight[0].at = paused
			break
		}
		s := p.flight[0]
		p.flight[0] = segment{}
		p.flight = p.flight[1:]
		p.take(s)
	}
	p.arm()
	p.from.settle()
}

// take is what the receiving kernel does with a segment.
func (p *pipe) take(s segment) {
	to := p.to
	switch {
	case s.rst:
		if !to.closed {
			to.fail(errReset)
		}
	case to.gone || to.err != nil || to.closed && len(s.data) > 0:
		p.used -= len(s.data)
		to.out.answerReset()
	case s.fin:
		p.eof = true
	default:
		p.arrive(s.data)
	}
	to.changed.wake()
}

func (p *pipe) arrive(b []byte) {
	if len(b) > 0 {
		p.arrived = append(p.arrived, b)
		p.unread += len(b)
	}
}

// answerReset is the kernel's answer to a segment for which there is no socket.
func (p *pipe) answerReset() {
	if len(p.flight) == 0 || !p.flight[len(p.flight)-1].rst {
		p.push(segment{rst: true})
	}
}

// stall waits for the end of a silence. What is never sent again is lost.
func (p *pipe) stall() {
	if p.from.gone || p.from.reset {
		p.drop()
		return
	}
	p.stalled, p.since = true, time.Now()
	p.giveUp = time.AfterFunc(userTimeout, func() {
		n := p.net()
		n.mu.Lock()
		defer n.mu.Unlock()
		if p.stalled {
			p.drop()
			p.from.fail(errTimeout)
		}
	})
}

// resume goes on with what a silence held up, as soon as the sender tries again.
func (p *pipe) resume() {
	n := p.net()
	if p.owed > 0 && n.reaches(p.to.local.Addr(), p.to.remote.Addr()) {
		p.used, p.owed = p.used-p.owed, 0
		p.from.changed.wake()
	}
	if !p.stalled || !n.reaches(p.from.local.Addr(), p.from.remote.Addr()) {
		return
	}
	p.stalled = false
	p.giveUp.Stop()
	at := n.arrival(p.from.local.Addr(), p.from.remote.Addr(), 0).Add(time.Duration(n.rng.Int64N(int64(p.retransmission()))))
	for i := range p.flight {
		if p.flight[i].at.Before(at) {
			p.flight[i].at = at
		}
	}
	p.last = at
	p.arm()
}

// retransmission is the longest time after a silence until the sender tries again. The pauses between retransmissions double,
// so that the next one comes no later than the silence has lasted, and one timeout.
func (p *pipe) retransmission() time.Duration {
	rto := minRTO + 2*p.net().path(p.from.local.Addr(), p.from.remote.Addr()).Latency
	return min(time.Since(p.since)+rto, maxRTO)
}

// read takes what has arrived.
func (p *pipe) read(b []byte) int {
	n := 0
	for n < len(b) && len(p.arrived) > 0 {
		m := copy(b[n:], p.arrived[0])
		if n += m; m < len(p.arrived[0]) {
			p.arrived[0] = p.arrived[0][m:]
		} else {
			p.arrived = p.arrived[1:]
		}
	}
	p.unread -= n
	if p.net().reaches(p.to.local.Addr(), p.to.remote.Addr()) {
		p.used -= n
	} else {
		p.owed += n
	}
	return n
}

// cutNow loses what is in flight, but for a part of it that ends at any byte.
func (p *pipe) cutNow() {
	keep := 0
	for _, s := range p.flight {
		keep += len(s.data)
	}
	if keep > 0 {
		keep = p.net().rng.IntN(keep + 1)
	}
	var arrives []byte
	for _, s := range p.flight {
		part := s.data[:min(len(s.data), keep)]
		keep -= len(part)
		arrives = append(arrives, part...)
	}
	p.drop()
	if !p.to.closed && p.to.err == nil {
		p.arrive(arrives)
		p.used += len(arrives)
	}
}

// drop forgets what is in flight.
func (p *pipe) drop() {
	for _, s := range p.flight {
		p.used -= len(s.data)
	}
	p.flight, p.stalled = nil, false
	for _, t := range []*time.Timer{p.timer, p.giveUp} {
		if t != nil {
			t.Stop()
		}
	}
	p.from.settle()
}
