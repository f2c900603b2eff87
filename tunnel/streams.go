package tunnel

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// openOn opens a stream on one lane and sends its header. It returns when the header is handed to the connection, or early when ctx
// ends or the lane turns silent.
func (l *link) openOn(ctx context.Context, c *conn, h *Header) (*Stream, error) {
	h = proto.CloneOf(h)
	h.Id = l.nextID.Add(1)
	header, err := wire.Encode(wire.Open, h)
	if err != nil {
		return nil, err
	}
	c.unanswered.Add(1)
	c.streamOpened()
	type result struct {
		s   *Stream
		err error
	}
	opened := make(chan result, 1)
	ok := l.spawn(func() {
		s, err := l.openRaw(c, header, streamKey{id: h.Id, ours: true})
		if err != nil {
			c.unanswered.Add(-1)
			c.streamClosed()
		}
		opened <- result{s, err}
	})
	if !ok {
		c.unanswered.Add(-1)
		c.streamClosed()
		return nil, fmt.Errorf("%w: link has ended", ErrNoLane)
	}
	_, silent := c.suspected()
	select {
	case r := <-opened:
		return r.s, r.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-silent:
		err = fmt.Errorf("%w: lane %s turned silent", ErrNoLane, c.name)
	}
	l.detached(func() {
		if r := <-opened; r.s != nil {
			r.s.Reset("given up while opening")
		}
	})
	return nil, err
}

// openRaw does the writing, which a full connection may hold up.
func (l *link) openRaw(c *conn, header []byte, key streamKey) (*Stream, error) {
	raw, err := c.sess.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: open stream on %s: %w", ErrNoLane, c.name, err)
	}
	if c.opened.Add(1) == c.maxOpened {
		defer l.wearOut(c)
	}
	s := newStream(l, c, raw, key)
	if !l.add(s) {
		raw.Abort(false)
		return nil, fmt.Errorf("%w: %s has ended", ErrNoLane, c.name)
	}
	if _, err := raw.Write(header); err != nil {
		// The header may have left in part: nothing of the application's has.
		s.terminate(fmt.Errorf("%w: write header: %w", ErrReset, err), false)
		return s, nil
	}
	if !l.spawn(s.awaitAnswer) {
		s.terminate(fmt.Errorf("%w: link has ended", ErrReset), false)
	}
	return s, nil
}

// wearOut retires a lane that can open no more streams for long, and asks the dialer for another one.
func (l *link) wearOut(c *conn) {
	c.retire("its stream IDs are nearly used up")
	l.kick.Notify()
}

// acceptLoop takes the peer's streams on one connection.
func (l *link) acceptLoop(ctx context.Context, c *conn) {
	for {
		raw, err := c.sess.Accept(ctx)
		if err != nil {
			if ctx.Err() == nil {
				c.fail("accept stream: " + err.Error())
			}
			return
		}
		if !c.admits() {
			l.meet(c, limitHeaders, 1)
			raw.Abort(false) // no answer: the peer knows the limits and passed them by far
			continue
		}
		c.headerAwaited()
		l.wg.Go(func() { l.serve(ctx, c, raw) })
	}
}

// serve reads one stream's header and hands the stream to whom it is for.
func (l *link) serve(ctx context.Context, c *conn, raw transport.Stream) {
	h, err := readOpen(raw)
	c.headerRead()
	if err != nil {
		l.node.metrics.BadHeader(l.peer)
		raw.Abort(false)
		return
	}
	if c.role == tunnelpb.Hello_ROLE_CONTROL {
		if !c.takeChannel(h.GetChannel(), raw) {
			raw.Abort(false)
		}
		return
	}
	s := newStream(l, c, raw, streamKey{id: h.GetId()})
	close(s.answered)
	limit, reason := c.full()
	c.streamOpened()
	if !l.add(s) {
		c.streamClosed()
		raw.Abort(false)
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { s.Reset("shutting down") })
	defer stop()
	l.wg.Go(func() {
		select {
		case <-s.done:
			cancel(ErrReset)
		case <-ctx.Done():
		}
	})
	in := &Incoming{stream: s, header: h, ctx: ctx}
	if limit != "" {
		l.meet(c, limit, 1)
		_ = in.Refuse(tunnelpb.Answer_CODE_OVERLOADED, reason, 0)
		return
	}
	l.node.handle(in)
	if in.state.Load() == 0 {
		_ = in.Refuse(tunnelpb.Answer_CODE_UNAVAILABLE, "not handled", 0)
	}
	s.Reset("handler returned")
}

// Incoming is a stream that a peer opened and that waits for an answer.
type Incoming struct {
	stream *Stream
	header *Header
	ctx    context.Context
	state  atomic.Int32 // 0 unanswered
}

// Header is the stream's header as the peer sent it. Everything about the caller is the peer's assertion.
func (in *Incoming) Header() *Header { return in.header }

// Peer is the authenticated cluster.
func (in *Incoming) Peer() string { return in.stream.link.peer }

// Address is that of the peer's end of the lane, as this host sees it.
func (in *Incoming) Address() string {
	_, remote := in.stream.conn.sess.Addrs()
	return remote.String()
}

// Info names the lane.
func (in *Incoming) Info() StreamInfo { return in.stream.Info() }

// Context ends with the stream.
func (in *Incoming) Context() context.Context { return in.ctx }

// Accept reports to the opener that the stream is accepted. It must come before the first byte is written to an
// endpoint: without it the opener may send the same bytes elsewhere.
func (in *Incoming) Accept(a *tunnelpb.Answer) (*Stream, error) {
	if !in.state.CompareAndSwap(0, 1) {
		return nil, errors.New("tunnel: stream was answered before")
	}
	a.Code = tunnelpb.Answer_CODE_ACCEPTED
	if err := in.write(a); err != nil {
		return nil, err
	}
	return in.stream, nil
}

// Refuse reports to the opener that nothing was written to any endpoint.
func (in *Incoming) Refuse(code Code, reason string, retryAfter time.Duration) error {
	if !in.state.CompareAndSwap(0, 1) {
		return errors.New("tunnel: stream was answered before")
	}
	wait := uint32(min(max(retryAfter.Milliseconds(), 0), 1<<31))
	a := &tunnelpb.Answer{Code: code, Reason: clip.Text(reason, maxReason), RetryAfterMs: wait}
	err := in.write(a)
	// The opener has its answer and forgets the stream; nothing is sent out of band.
	in.stream.terminate(&RefusedError{Code: code, Reason: reason}, false)
	return err
}

func (in *Incoming) write(a *tunnelpb.Answer) error {
	s := in.stream
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if err := s.beginWrite(); err != nil {
		return err
	}
	b, err := wire.Encode(wire.Answer, a)
	if err != nil {
		return err
	}
	return s.writeRaw(b)
}

// readOpen reads a stream's header under a deadline.
func readOpen(raw transport.Stream) (*Header, error) {
	if err := raw.SetReadDeadline(deadline(streamHeaderTimeout)); err != nil {
		return nil, err
	}
	h := new(Header)
	if err := wire.Read(raw, wire.Open, h); err != nil {
		return nil, err
	}
	if err := wire.CheckOpen(h); err != nil {
		return nil, err
	}
	return h, clearDeadline(raw)
}

// errNoChannel ends a channel's use when its connection has ended.
var errNoChannel = errors.New("tunnel: the control connection has ended")
