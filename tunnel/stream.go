package tunnel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// streamKey names a stream on its link: the opener's number for it and who opened it.
type streamKey struct {
	id   uint64
	ours bool
}

// Stream is one application connection on a lane. Read and Write may be used by one goroutine each;
// everything else by any.
type Stream struct {
	key  streamKey
	link *link
	conn *conn
	raw  transport.Stream

	answered chan struct{} // closed once outcome is set
	done     chan struct{} // closed when nothing more can come or go: reset or lane lost

	writeMu sync.Mutex  // held by Write and CloseWrite
	writing atomic.Bool // a write to raw is under way
	inData  int         // bytes left of the data record being read
	head    [wire.HeaderSize]byte
	headed  int          // bytes of head that were read
	read    atomic.Int64 // bytes that Read has returned

	mu       sync.Mutex
	sentData bool // more than the header was handed to the lane
	outcome  error
	answer   *tunnelpb.Answer
	readEnd  bool // end record received
	writeEnd bool // end record sent
	reset    error
	grace    *time.Timer
	released bool
}

func newStream(l *link, c *conn, raw transport.Stream, key streamKey) *Stream {
	return &Stream{
		key: key, link: l, conn: c, raw: raw,
		answered: make(chan struct{}), done: make(chan struct{}),
	}
}

// Answered is closed once the outcome is known.
func (s *Stream) Answered() <-chan struct{} { return s.answered }

// Outcome is valid once Answered is closed: nil when accepted, *RefusedError, or *LostError.
func (s *Stream) Outcome() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outcome
}

// Answer is the accepting (or refusing) answer; nil before it came.
func (s *Stream) Answer() *tunnelpb.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answer
}

// Suspect is closed while the lane is silent: an answer may never come.
func (s *Stream) Suspect() <-chan struct{} {
	_, c := s.conn.suspected()
	return c
}

// Quiet is true when the lane was not heard from recently: send the header alone.
func (s *Stream) Quiet() bool { return s.link.quiet(s.conn) }

// Done is closed when the stream was reset by the other end or its lane died.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Info names the lane.
func (s *Stream) Info() StreamInfo {
	return StreamInfo{Peer: s.link.peer, Replica: s.link.replica, Lane: s.conn.name, Transport: s.conn.sess.Caps().Name}
}

// Write sends data records; before the answer too. It blocks on flow control and fails after a reset.
func (s *Stream) Write(p []byte) (int, error) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if err := s.beginWrite(); err != nil {
		return 0, err
	}
	buf := s.link.node.buffers.Get()
	defer s.link.node.buffers.Put(buf)
	sent := 0
	for sent < len(p) {
		b, n := wire.AppendData(buf[:0], p[sent:], s.link.dataLimit)
		if err := s.writeRaw(b); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// CloseWrite sends the end record: the other side reads a clean end. Once it was sent, calling it again does nothing.
func (s *Stream) CloseWrite() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.writeEnded() {
		return nil
	}
	if err := s.beginWrite(); err != nil {
		return err
	}
	var end [wire.HeaderSize]byte
	wire.PutHeader(end[:], wire.End, 0)
	if err := s.writeRaw(end[:]); err != nil {
		return err
	}
	s.raw.EndWrite()
	s.mu.Lock()
	s.writeEnd = true
	s.mu.Unlock()
	s.releaseIfEnded()
	return nil
}

// beginWrite marks that more than the header is sent, in one step with the check that the stream still is: an
// outcome that says "nothing was sent" stays true.
func (s *Stream) beginWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.reset != nil:
		return s.reset
	case s.writeEnd:
		return fmt.Errorf("tunnel: write after CloseWrite: %w", io.ErrClosedPipe)
	}
	s.sentData = true
	return nil
}

// writeRaw writes whole records. An error from below means that the other side wants no more or that the lane died.
func (s *Stream) writeRaw(b []byte) error {
	s.writing.Store(true)
	_, err := s.raw.Write(b)
	s.writing.Store(false)
	if err == nil {
		return nil
	}
	select {
	case <-s.answered:
		s.remoteReset("write failed: " + err.Error())
	default: // a refusal may be right behind: the answer, a reset on the control connection or the lane's end shows it
	}
	return fmt.Errorf("%w: %w", ErrReset, err)
}

// SetReadDeadline makes Read fail with os.ErrDeadlineExceeded from then on; nothing is lost. It needs a stream that is accepted.
func (s *Stream) SetReadDeadline(t time.Time) error {
	select {
	case <-s.answered:
		return s.raw.SetReadDeadline(t)
	default:
		return fmt.Errorf("tunnel: read deadline before the answer: %w", errors.ErrUnsupported)
	}
}

// Retired is true when the stream's lane or link takes no new streams: it is to be used for what is under way, and no longer.
func (s *Stream) Retired() bool { return s.conn.retired() || s.link.isDraining() }

// Read returns the other side's bytes; io.EOF only after its end record, ErrReset when it was reset or cut off.
func (s *Stream) Read(p []byte) (int, error) {
	<-s.answered
	if err := s.Outcome(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for s.inData == 0 {
		if s.ended() {
			return 0, io.EOF
		}
		t, n, err := s.readHeader()
		switch {
		case err != nil:
			return 0, s.readFailed(err)
		case t == wire.End:
			s.readEnded()
			return 0, io.EOF
		case t != wire.Data:
			s.Reset("protocol error")
			return 0, fmt.Errorf("%w: %w: type %d in a stream's data", ErrReset, wire.ErrRecord, t)
		}
		s.inData = n
	}
	n, err := s.raw.Read(p[:min(len(p), s.inData)])
	s.inData -= n
	s.read.Add(int64(n))
	if err != nil && n == 0 {
		return 0, s.readFailed(err)
	}
	return n, nil
}

// readHeader goes on where a deadline has ended the last call.
func (s *Stream) readHeader() (wire.Type, int, error) {
	n, err := io.ReadFull(s.raw, s.head[s.headed:])
	s.headed += n
	if err != nil {
		return 0, 0, err
	}
	s.headed = 0
	return wire.ParseHeader(s.head)
}

func (s *Stream) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readEnd
}

func (s *Stream) writeEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeEnd
}

func (s *Stream) readEnded() {
	s.mu.Lock()
	s.readEnd = true
	s.mu.Unlock()
	s.releaseIfEnded()
}

// readFailed is reached when the stream stops without its end record, for whatever reason. The reason is kept as text
// only: it may be io.EOF, and an error that io.EOF can be found in would pass for a clean end.
func (s *Stream) readFailed(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded // it goes on
	}
	if errors.Is(err, transport.ErrMemory) {
		s.Reset(plain(err)) // the other side learns why
	}
	s.terminate(fmt.Errorf("%w: cut off: %s", ErrReset, err.Error()), false)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reset
}

// Reset gives the stream up in both directions and notifies the other side, past any full window. It never waits
// for the network and may be called at any time; after a clean end it does nothing.
func (s *Stream) Reset(reason string) {
	s.terminate(fmt.Errorf("%w by this side: %s", ErrReset, reason), true)
}

// Close is Reset unless the stream has ended cleanly.
func (s *Stream) Close() error {
	s.Reset("closed")
	return nil
}

// remoteReset is the other side's reset. It may have overtaken the answer and data that were sent before it, so these may
// still be read as resetGrace says; writing fails at once.
func (s *Stream) remoteReset(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released || s.reset != nil {
		return
	}
	err := fmt.Errorf("%w by the peer: %s", ErrReset, reason)
	s.reset = err
	read := s.read.Load()
	s.grace = time.AfterFunc(resetGrace, func() { s.graceOver(err, read, resetGraceSteps) })
}

// graceOver goes on waiting while data that was sent before the reset is being read, for as many steps at most.
func (s *Stream) graceOver(err error, seen int64, steps int) {
	s.mu.Lock()
	if read := s.read.Load(); read > seen && steps > 0 && !s.released {
		s.grace = time.AfterFunc(resetGrace, func() { s.graceOver(err, read, steps-1) })
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.terminate(err, false)
}

// terminate ends the stream without grace.
func (s *Stream) terminate(err error, notify bool) {
	s.mu.Lock()
	if s.released {
		s.mu.Unlock()
		return
	}
	if s.reset == nil {
		s.reset = err
	} else {
		notify = false // it is the other side's reset
	}
	s.answerLocked(nil, &LostError{Sent: s.sentData, Err: err})
	s.mu.Unlock()
	s.finish(notify)
}

// answerLocked sets the outcome unless it is known.
func (s *Stream) answerLocked(a *tunnelpb.Answer, outcome error) {
	select {
	case <-s.answered:
		return
	default:
	}
	s.answer, s.outcome = a, outcome
	close(s.answered)
	if s.key.ours {
		s.conn.unanswered.Add(-1)
	}
}

// finish releases a stream that was reset; once.
func (s *Stream) finish(notify bool) {
	s.mu.Lock()
	if s.released {
		s.mu.Unlock()
		return
	}
	s.released = true
	if s.grace != nil {
		s.grace.Stop()
	}
	reason := s.reset.Error()
	s.mu.Unlock()
	close(s.done)
	if notify {
		s.link.sendReset(s.key, reason)
	}
	s.link.forget(s)
	s.raw.Abort(s.writing.Load())
}

// releaseIfEnded releases a stream that has ended cleanly in both directions.
func (s *Stream) releaseIfEnded() {
	s.mu.Lock()
	if s.released || !s.readEnd || !s.writeEnd {
		s.mu.Unlock()
		return
	}
	s.released = true
	if s.grace != nil {
		s.grace.Stop()
	}
	s.mu.Unlock()
	s.link.forget(s)
	s.raw.Finish()
}

// awaitAnswer reads the peer's answer; on the opener's side, once.
func (s *Stream) awaitAnswer() {
	a := new(tunnelpb.Answer)
	if err := wire.Read(s.raw, wire.Answer, a); err != nil {
		if errors.Is(err, wire.ErrRecord) {
			s.Reset("invalid answer")
		}
		_ = s.readFailed(err)
		return
	}
	if a.GetCode() == tunnelpb.Answer_CODE_ACCEPTED {
		s.mu.Lock()
		s.answerLocked(a, nil)
		s.mu.Unlock()
		return
	}
	refusal := &RefusedError{
		Code: a.GetCode(), Reason: clip.Text(a.GetReason(), maxReason),
		RetryAfter: time.Duration(a.GetRetryAfterMs()) * time.Millisecond,
	}
	s.mu.Lock()
	s.answerLocked(a, refusal)
	if s.reset == nil {
		s.reset = refusal
	}
	s.mu.Unlock()
	s.finish(false)
}
