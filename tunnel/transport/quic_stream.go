package transport

import (
	"errors"
	"os"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// quicStream counts against its session's budget while nothing reads it: quic-go does not report what it holds then, which is a
// window at most. While a Read waits there is nothing unread.
type quicStream struct {
	*quic.Stream
	session *quicSession
	budget  *Budget
	state   atomic.Int32
}

const (
	uncharged = iota
	charged
	over // given up: it is not charged again
)

// newQUICStream refuses a stream that the budget has no room for.
func newQUICStream(s *quicSession, st *quic.Stream) (*quicStream, error) {
	qs := &quicStream{Stream: st, session: s, budget: s.budget.Load()}
	if !qs.charge() {
		return nil, ErrMemory
	}
	return qs, nil
}

// charge gives the stream up if there is no room.
func (s *quicStream) charge() bool {
	if !s.budget.take(quicStreamWindow, 0) {
		s.session.overflows.Add(1)
		s.CancelWrite(quicReset)
		s.CancelRead(quicReset)
		return false
	}
	if !s.state.CompareAndSwap(uncharged, charged) {
		s.budget.put(quicStreamWindow) // it was given up meanwhile
	}
	return true
}

// discharge leaves the stream in a state.
func (s *quicStream) discharge(state int32) {
	for old := s.state.Load(); old != over; old = s.state.Load() {
		if s.state.CompareAndSwap(old, state) {
			if old == charged {
				s.budget.put(quicStreamWindow)
			}
			return
		}
	}
}

// Read implements Stream.
func (s *quicStream) Read(p []byte) (int, error) {
	s.discharge(uncharged)
	n, err := s.Stream.Read(p)
	if (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) && !s.charge() {
		return n, ErrMemory
	}
	return n, err
}

// EndWrite implements Stream.
func (s *quicStream) EndWrite() { _ = s.Close() }

// Finish frees the receiving side, which otherwise waits until the FIN is read behind the end record.
func (s *quicStream) Finish() {
	s.CancelRead(quicReset)
	s.discharge(over)
}

// Abort implements Stream.
func (s *quicStream) Abort(writing bool) {
	if writing {
		s.CancelWrite(quicReset)
	} else {
		_ = s.Close() // what was written still arrives; without an end record it means cut off
	}
	s.CancelRead(quicReset)
	s.discharge(over)
}
