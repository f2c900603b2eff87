package relay

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// Side names an end in a Result.
type Side int32

// The sides: the client opened the connection, the server answers it.
const (
	Neither Side = iota
	Client
	Server
)

// How is what ended a relayed connection.
type How int

const (
	// Closed: both directions ended clean. Result.By ended first.
	Closed How = iota
	// Reset: Result.By reset the connection.
	Reset
	// Broken: the network, or the host or lane behind Result.By, failed.
	Broken
	// Idle: nothing was carried for too long; where one direction has ended, that is HalfClosedIdle or less.
	Idle
	// Stopped: the context ended.
	Stopped
)

// Result is what was carried and how it ended.
type Result struct {
	How How
	By  Side
	// Err is the error behind Reset, Broken and Stopped.
	Err error
	// Up and Down are the bytes written towards the server and the client.
	Up, Down int64
}

// Head is what became of the client before the relay began.
type Head struct {
	// Rest was read and not yet written to the server.
	Rest []byte
	// Ended: the client's clean end was read. Passed: it went on to the server, by CloseWrite.
	Ended, Passed bool
	// Err is why the client could not be read on, after Rest.
	Err error
}

// Run relays until both directions have ended, one end is broken or ctx
// ends, whose cause then is Result.Err. It owns both ends and has released them when it
// returns. A nil head means that nothing was read yet; else it is called once, in the goroutine that goes on reading the
// client, and may block there. A connection that carries nothing for as long as idle ends, a quarter of that later at most; 0: never.
func Run(ctx context.Context, client, server End, head func() Head, idle time.Duration) Result {
	r := &run{client: client, server: server, halves: make(chan half, 2), graceLeft: graceMax}
	if idle > 0 {
		r.expectBytes(idle)
	}
	r.up.open, r.down.open = true, true
	go r.copy(&r.up, client, server, Client, Server, head)
	go r.copy(&r.down, server, client, Server, Client, nil)
	r.supervise(ctx)
	r.result.Up, r.result.Down = r.up.bytes.Load(), r.down.bytes.Load()
	return r.result
}

// direction is one way through the relay.
type direction struct {
	bytes atomic.Int64
	open  bool // its goroutine runs; the supervisor's own note
}

// half is how one direction ended.
type half struct {
	dir *direction
	// from and to are its source and its destination.
	from, to Side
	readErr  error // from's, nil after a clean end
	writeErr error // to's
}

// run is one call of Run. The supervisor decides, in one goroutine, on the events of the two copies, the
// ends, the timer and the context.
type run struct {
	client, server End
	up, down       direction
	halves         chan half
	// first is the Side that ended clean first, recorded before the end is passed on to the other side, which may then end at once.
	first atomic.Int32

	result  Result
	decided bool // result is final, both ends are aborted

	dying     Side // this end is broken; what it had sent is still being delivered
	dead      error
	graceLeft time.Duration

	timer *time.Timer // nil: not armed yet
	seen  int64       // what was carried when it was armed
	// within is how long the connection may carry nothing, 0: any time; quiet is how many steps of it are over.
	within time.Duration
	quiet  int
}

// copy carries one direction and reports how it ended.
func (r *run) copy(d *direction, src, dst End, from, to Side, head func() Head) {
	h := half{dir: d, from: from, to: to}
	h.readErr, h.writeErr = r.carry(d, src, dst, from, head)
	r.halves <- h
}

func (r *run) carry(d *direction, src, dst End, from Side, head func() Head) (readErr, writeErr error) {
	if head != nil {
		h := head()
		if len(h.Rest) > 0 {
			n, err := dst.Write(h.Rest)
			d.bytes.Add(int64(n))
			if err != nil {
				return nil, err
			}
		}
		switch {
		case h.Err != nil:
			return h.Err, nil
		case h.Passed:
			r.first.CompareAndSwap(int32(Neither), int32(from))
			return nil, nil
		case h.Ended:
			return nil, r.endOf(from, dst)
		}
	}
	var b buffer
	defer b.release()
	for {
		n, err := src.readBuffer(&b)
		if n > 0 {
			written, err := dst.Write(b.acquire()[:n])
			d.bytes.Add(int64(written))
			if err != nil {
				return nil, err
			}
			b.release()
			b.used(n)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, r.endOf(from, dst)
		case err != nil:
			return err, nil
		}
	}
}

// endOf passes a clean end of from on to dst.
func (r *run) endOf(from Side, dst End) error {
	r.first.CompareAndSwap(int32(Neither), int32(from))
	return dst.CloseWrite()
}

// supervise is the one goroutine that decides.
func (r *run) supervise(ctx context.Context) {
	defer r.disarm()
	clientBroken, serverBroken, stop := r.client.Broken(), r.server.Broken(), ctx.Done()
	for r.up.open || r.down.open {
		wasDying := r.dying
		select {
		case h := <-r.halves:
			h.dir.open = false
			if r.ended(h) && (r.within == 0 || r.within > HalfClosedIdle) {
				r.expectBytes(HalfClosedIdle)
			}
		case <-clientBroken:
			clientBroken = nil
			r.breaks(Client, nil)
		case <-serverBroken:
			serverBroken = nil
			r.breaks(Server, nil)
		case <-stop:
			stop = nil
			r.decide(Result{How: Stopped, Err: context.Cause(ctx)})
		case <-r.tick():
			r.timeIsUp()
		}
		if r.dying != wasDying && !r.decided {
			r.arm(graceStep)
		}
	}
	if !r.decided {
		r.client.release()
		r.server.release()
	}
}

// expectBytes begins to look whether anything is carried.
func (r *run) expectBytes(within time.Duration) {
	r.within, r.quiet = within, 0
	r.arm(within / idleSteps)
}

// arm restarts the timer: the grace while an end is dying, else a step of the idle check.
func (r *run) arm(d time.Duration) {
	r.disarm()
	r.timer, r.seen = time.NewTimer(d), r.carried()
}

func (r *run) disarm() {
	if r.timer != nil {
		r.timer.Stop()
	}
}

// tick is the timer's channel; nil before the first arm.
func (r *run) tick() <-chan time.Time {
	if r.timer == nil {
		return nil
	}
	return r.timer.C
}

// timeIsUp ends a connection that carried nothing while the timer ran, or whose dying end has used up its grace.
func (r *run) timeIsUp() {
	idle := r.carried() == r.seen
	switch {
	case r.dying == Neither && idle && r.quiet == idleSteps-1:
		r.decide(Result{How: Idle})
	case r.dying == Neither && idle:
		r.quiet++
		r.arm(r.within / idleSteps)
	case r.dying == Neither:
		r.expectBytes(r.within)
	case idle || r.graceLeft <= 0:
		r.decide(broken(r.dying, r.dead))
	default:
		r.graceLeft -= graceStep
		r.arm(graceStep)
	}
}

func (r *run) carried() int64 { return r.up.bytes.Load() + r.down.bytes.Load() }

// ended takes in that one direction is done. It returns true when the connection is now half-closed.
func (r *run) ended(h half) bool {
	switch {
	case r.decided:
	case h.writeErr != nil:
		r.breaks(h.to, h.writeErr)
	case h.readErr != nil:
		// Everything that from had sent is written; let it leave before the reset that drops what has not.
		r.end(h.to).flush()
		r.decide(broken(h.from, h.readErr))
	case r.dying == h.from && r.result.By == Neither: // else the other direction had ended clean before
		// It ended clean before it broke: all it sent is delivered. The other direction is cut off.
		r.end(h.to).flush()
		r.decide(broken(r.dying, r.dead))
	case r.up.open || r.down.open:
		r.result = Result{How: Closed, By: Side(r.first.Load())}
		return r.dying == Neither
	}
	return false
}

// breaks takes in that side is broken. What it sent before goes on to the other
// side first, as it would without a relay: a server that answers and resets
// because it did not read the whole request is common.
func (r *run) breaks(side Side, err error) {
	switch {
	case r.decided:
	case r.dying == side:
		r.dead = errors.Join(r.dead, err)
	case r.dying != Neither: // both ends are broken: there is nothing left to deliver to
		r.decide(broken(r.dying, r.dead))
	case !r.from(side).open:
		r.decide(broken(side, err))
	default:
		r.dying, r.dead = side, err
	}
}

func broken(side Side, err error) Result {
	if err == nil || isReset(err) || isClosed(err) {
		return Result{How: Reset, By: side, Err: err}
	}
	return Result{How: Broken, By: side, Err: err}
}

// decide makes res final and aborts both ends; the copies end by that.
func (r *run) decide(res Result) {
	if r.decided {
		return
	}
	r.decided, r.result = true, res
	r.client.Abort(res.String())
	r.server.Abort(res.String())
}

// from is the direction that side is the source of.
func (r *run) from(side Side) *direction {
	if side == Client {
		return &r.up
	}
	return &r.down
}

func (r *run) end(side Side) End {
	if side == Client {
		return r.client
	}
	return r.server
}
