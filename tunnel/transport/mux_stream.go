package transport

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/notify"
)

// muxStream is one stream of a mux, which a FIN closes in each direction. mux.mu guards it.
type muxStream struct {
	mux *mux
	id  uint32

	canRead, canWrite     notify.Signal
	readLimit, writeLimit limit

	chunks     []chunk // received and not read
	size       int     // bytes of chunks
	window     int     // what the peer may still send
	consumed   int     // read since the last window update
	granted    int     // of window, beyond initialWindow
	sendWindow int64

	unsent    bool // the peer has not heard of it
	unacked   bool // the peer has not accepted it
	closed    bool // a FIN of ours was sent, or will be
	ended     bool // a FIN of the peer's came
	abandoned bool // not read any more: what comes is dropped
	overflown bool // it was abandoned because the peer's budget had no room
	reset     bool // refused by the peer

	queued bool // in mux.dirty
	flags  frameFlags
	update int // window to give
}

func newMuxStream(m *mux, id uint32) *muxStream {
	return &muxStream{
		mux: m, id: id, window: initialWindow, sendWindow: initialWindow,
		canRead: notify.NewSignal(), canWrite: notify.NewSignal(),
	}
}

// grant lets the peer send more, when it hears of it.
func (s *muxStream) grant(n int) {
	s.granted += n
	s.window += n
	s.update += n
}

// appendFrames appends what has no body. The mux's lock is held.
func (s *muxStream) appendFrames(b []byte) []byte {
	if s.flags == 0 && s.update == 0 {
		s.queued = false
		return b
	}
	b = frame{kind: frameWindow, flags: s.flags, stream: s.id, length: uint32(s.update)}.append(b) // ≤ maxWindow
	s.flags, s.update, s.unsent, s.queued = 0, 0, false, false
	return b
}

// wakeLocked lets both calls look again.
func (s *muxStream) wakeLocked() {
	s.canRead.Notify()
	s.canWrite.Notify()
}

// SetReadDeadline implements Stream.
func (s *muxStream) SetReadDeadline(t time.Time) error {
	s.readLimit.set(t)
	s.canRead.Notify() // a call that waits looks at it
	return nil
}

// SetWriteDeadline implements Stream.
func (s *muxStream) SetWriteDeadline(t time.Time) error {
	s.writeLimit.set(t)
	s.canWrite.Notify()
	return nil
}

// Read implements Stream.
func (s *muxStream) Read(p []byte) (int, error) {
	for {
		n, err := s.tryRead(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		select {
		case <-s.canRead:
		case <-s.mux.done:
			if n, err := s.tryRead(p); n > 0 || err != nil {
				return n, err
			}
			return 0, s.mux.ended()
		case <-s.readLimit.passed():
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (s *muxStream) tryRead(p []byte) (int, error) {
	m := s.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case s.overflown:
		return 0, ErrMemory
	case s.abandoned:
		return 0, errAbandoned
	case s.size > 0:
	case s.reset:
		return 0, errRefused
	case s.ended:
		return 0, io.EOF
	default:
		return 0, nil
	}
	n := 0
	for n < len(p) && len(s.chunks) > 0 {
		c := &s.chunks[0]
		k := copy(p[n:], c.data[c.from:])
		n += k
		if c.from += k; c.from == len(c.data) {
			c.free()
			s.chunks[0] = chunk{}
			s.chunks = s.chunks[1:]
		}
	}
	if len(s.chunks) == 0 {
		s.chunks = nil
	}
	s.size -= n
	s.consumed += n
	if total := initialWindow + s.granted; s.consumed >= total/2 && !s.ended {
		s.window += s.consumed
		s.update += s.consumed
		s.consumed = 0
		m.queueLocked(s)
	}
	if s.size > 0 || s.ended {
		s.canRead.Notify() // for another reader
	}
	return n, nil
}

// receiveLocked reads a data frame's body from r. The lock is free meanwhile: only the read loop adds chunks.
func (s *muxStream) receiveLocked(n int, r io.Reader) error {
	if n > s.window {
		s.mux.meetLocked(LimitWindow)
		return fmt.Errorf("%w: %d bytes on stream %d, whose window is %d", errFrame, n, s.id, s.window)
	}
	s.window -= n
	for n > 0 {
		if s.abandoned {
			return s.mux.skipLocked(int64(n), r)
		}
		size := min(n, chunkSize)
		if room := s.roomLocked(); room > 0 { // many small frames must not take more memory than they have bytes
			size = min(n, room)
		}
		c := newChunk(size)
		if !c.charge(s.mux.budget, s.size) {
			c.free()
			s.overflowLocked()
			continue
		}
		part := c.data[:size]
		s.mux.mu.Unlock()
		_, err := io.ReadFull(r, part)
		s.mux.mu.Lock()
		if err != nil {
			c.free()
			return err
		}
		n -= len(part)
		c.data = part
		s.addLocked(c)
	}
	return nil
}

// roomLocked is what fits into the last chunk.
func (s *muxStream) roomLocked() int {
	if len(s.chunks) == 0 {
		return 0
	}
	last := &s.chunks[len(s.chunks)-1]
	return cap(last.data) - len(last.data)
}

// addLocked appends what was received, to the last chunk if it fits.
func (s *muxStream) addLocked(c chunk) {
	if s.abandoned || s.ended || s.mux.err != nil {
		c.free()
		return
	}
	s.size += len(c.data)
	if last := len(s.chunks) - 1; s.roomLocked() >= len(c.data) {
		s.chunks[last].data = append(s.chunks[last].data, c.data...)
		c.free()
	} else {
		s.chunks = append(s.chunks, c)
	}
	s.canRead.Notify()
}

// Write implements Stream.
func (s *muxStream) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n, err := s.reserve(min(len(p)-sent, maxFrame))
		if err != nil {
			return sent, err
		}
		if err := s.mux.write(s, p[sent:sent+n]); err != nil {
			s.giveBack(n)
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// reserve waits for a part of the peer's window.
func (s *muxStream) reserve(most int) (int, error) {
	for {
		n, err := s.tryReserve(most)
		if n > 0 || err != nil {
			return n, err
		}
		select {
		case <-s.canWrite:
		case <-s.mux.done:
			return 0, s.mux.ended()
		case <-s.writeLimit.passed():
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// giveBack a part of the window: nothing was sent. (After an error of the connection nothing will be.)
func (s *muxStream) giveBack(n int) {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	s.sendWindow += int64(n)
}

func (s *muxStream) writeError() error {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	return s.writeErrorLocked()
}

func (s *muxStream) writeErrorLocked() error {
	switch {
	case s.mux.err != nil:
		return s.mux.err
	case s.reset:
		return errRefused
	case s.overflown:
		return ErrMemory
	case s.closed:
		return io.ErrClosedPipe
	}
	return nil
}

func (s *muxStream) tryReserve(most int) (int, error) {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	if err := s.writeErrorLocked(); err != nil {
		return 0, err
	}
	n := min(int64(most), s.sendWindow)
	s.sendWindow -= n
	return int(n), nil
}

// EndWrite implements Stream. The peer's reader may go on for as long as it likes, so nothing is sent before Finish.
func (s *muxStream) EndWrite() {}

// Finish implements Stream.
func (s *muxStream) Finish() { s.Abort(false) }

// Abort implements Stream. A FIN is not subject to the window; without an end record it means cut off.
func (s *muxStream) Abort(bool) {
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	s.abandonLocked()
	s.readLimit.set(time.Time{})
	s.writeLimit.set(time.Time{})
}

// overflowLocked gives the stream up because the peer's budget has no room for what came on it.
func (s *muxStream) overflowLocked() {
	s.mux.meetLocked(LimitMemory)
	s.overflown = true
	s.abandonLocked()
}

// abandonLocked ends what the stream takes and sends; what still comes on it is read over.
func (s *muxStream) abandonLocked() {
	m := s.mux
	if s.abandoned {
		return
	}
	s.abandoned = true
	m.granted -= s.granted // no memory is taken for it any more
	s.granted = 0
	for _, c := range s.chunks {
		c.free()
	}
	s.chunks, s.size = nil, 0
	if !s.closed {
		s.closed = true
		s.flags |= flagFIN
		s.update = 0 // nothing is read any more
		if s.unsent {
			s.flags, s.ended = 0, true // the peer has never heard of it
		} else {
			m.queueLocked(s)
		}
	}
	s.wakeLocked()
	m.forgetLocked(s)
}

// dischargeLocked takes what the stream holds off the budget.
func (s *muxStream) dischargeLocked() {
	for i := range s.chunks {
		s.chunks[i].discharge()
	}
}

// limit is a deadline that calls wait on.
type limit struct {
	mu    sync.Mutex
	timer *time.Timer
	over  chan struct{}
}

// set replaces the deadline; the zero time is none.
func (l *limit) set(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer, l.over = nil, nil
	if t.IsZero() {
		return
	}
	over := make(chan struct{})
	l.over = over
	if d := time.Until(t); d > 0 {
		l.timer = time.AfterFunc(d, func() { close(over) })
	} else {
		close(over)
	}
}

// passed is closed once the deadline that is set now has passed; nil: never.
func (l *limit) passed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// chunk is memory with received bytes.
type chunk struct {
	data []byte
	from int // what was read of it
	pool *sync.Pool
	back any // for the pool

	budget *Budget // what it was charged to
}

const (
	smallChunk = 2 << 10
	chunkSize  = 16 << 10 // a TLS record
)

//nolint:gochecknoglobals // pools of memory
var (
	smallChunks = sync.Pool{New: func() any { return new([smallChunk]byte) }}
	largeChunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}
)

// newChunk has room for at least n bytes, up to chunkSize.
func newChunk(n int) chunk {
	if n <= smallChunk {
		b, _ := smallChunks.Get().(*[smallChunk]byte)
		return chunk{data: b[:0], pool: &smallChunks, back: b}
	}
	b, _ := largeChunks.Get().(*[chunkSize]byte)
	return chunk{data: b[:0], pool: &largeChunks, back: b}
}

// charge counts its memory against a budget, for a stream that holds so much; false: there is no room.
func (c *chunk) charge(b *Budget, held int) bool {
	if b == nil || !b.take(cap(c.data), held) {
		return b == nil
	}
	c.budget = b
	return true
}

func (c *chunk) discharge() {
	c.budget.put(cap(c.data))
	c.budget = nil
}

func (c *chunk) free() {
	c.discharge()
	if c.pool != nil {
		c.pool.Put(c.back)
		c.pool = nil
	}
}
