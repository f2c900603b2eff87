package transport

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/eastway/eastway/internal/notify"
)

// mux carries streams on one connection, in yamux' frames. What is written goes out from the writer's own goroutine, a
// frame's header and body in one write; what has no body waits for the next writer, or for the control loop. It has no
// timers, and memory only for what was received and not read.
type mux struct {
	conn   io.ReadWriter
	close_ func() // ends conn
	window func() int
	wg     sync.WaitGroup
	done   chan struct{}
	alert  atomic.Pointer[net.OpError]

	writing chan struct{} // holds a token while something is written
	wake    notify.Signal // to the control loop

	mu       sync.Mutex
	err      error // why it has ended
	streams  map[uint32]*muxStream
	nextID   uint32
	parity   uint32 // of our own stream IDs
	unacked  int    // streams of ours that the peer has not accepted
	granted  int    // sum of the windows beyond initialWindow that the peer was given
	accepted chan *muxStream
	dirty    []*muxStream // have frames without a body to send
	met      map[Limit]uint64
	budget   *Budget // what is received and not read counts against it
}

// newMux starts on an authenticated connection. close_ ends that without waiting for the peer; window is how much may be on
// its way on a new stream, in bytes. The dialer's streams have odd IDs.
func newMux(conn io.ReadWriter, close_ func(), window func() int, dialed bool) *mux {
	m := &mux{
		conn: conn, close_: close_, window: window, done: make(chan struct{}), wake: notify.NewSignal(),
		writing: make(chan struct{}, 1), streams: make(map[uint32]*muxStream), nextID: 2, accepted: make(chan *muxStream, AcceptBacklog),
	}
	if dialed {
		m.nextID = 1
	}
	m.parity = m.nextID % 2
	m.wg.Go(m.readLoop)
	m.wg.Go(m.controlLoop)
	return m
}

// open registers a stream. Nothing is sent before its first Write.
func (m *mux) open() (*muxStream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.err != nil:
		return nil, m.err
	case m.unacked >= AcceptBacklog:
		m.meetLocked(LimitPeer)
		return nil, fmt.Errorf("tunnel: %d streams wait for the peer to accept them", m.unacked)
	case m.nextID > maxStreamID: // lanes are retired before that
		return nil, errors.New("tunnel: all stream IDs of the connection are used")
	}
	s := newMuxStream(m, m.nextID)
	s.unsent, s.unacked = true, true
	m.nextID += 2
	m.unacked++
	m.streams[s.id] = s
	s.flags |= flagSYN
	s.grant(m.grantLocked())
	return s, nil
}

// accept waits for a stream of the peer's.
func (m *mux) accept(ctx context.Context) (*muxStream, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-m.done:
		return nil, m.ended()
	case s := <-m.accepted:
		m.mu.Lock()
		s.flags |= flagACK
		s.grant(m.grantLocked())
		m.queueLocked(s)
		m.mu.Unlock()
		return s, nil
	}
}

// grantLocked is the window beyond initialWindow for a new stream. What all streams of a session may hold unread is
// bounded: the more they have been given, the less is left for the next.
func (m *mux) grantLocked() int {
	want, left := m.window()-initialWindow, m.budget.spare((maxGranted-m.granted)/4)
	if left < initialWindow && left < want {
		m.meetLocked(LimitBuffer)
	}
	g := max(min(want, left), 0)
	m.granted += g
	return g
}

// meetLocked counts that a limit was met.
func (m *mux) meetLocked(l Limit) {
	if m.met == nil {
		m.met = make(map[Limit]uint64)
	}
	m.met[l]++
}

// charge makes what is received from now on count against a budget.
func (m *mux) charge(b *Budget) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.budget = b
}

func (m *mux) limits() map[Limit]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.met)
}

func (m *mux) ended() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *mux) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.streams)
}

// end ends the connection and all streams; the first reason is kept.
func (m *mux) end(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return
	}
	m.err = err
	close(m.done)
	m.close_()
	for _, s := range m.streams {
		s.dischargeLocked() // what is there can still be read
		s.wakeLocked()
	}
	clear(m.streams)
	m.dirty = nil
	for {
		select {
		case <-m.accepted:
		default:
			return
		}
	}
}

// close is end, and returns when the loops have ended.
func (m *mux) close() {
	m.end(ErrClosed)
	m.wg.Wait()
}

// queueLocked notes that s has something to send that has no body.
func (m *mux) queueLocked(s *muxStream) {
	if m.err != nil {
		return
	}
	if !s.queued {
		s.queued = true
		m.dirty = append(m.dirty, s)
	}
	m.wake.Notify()
}

// takeLocked appends frames without a body, as many as there is room for.
func (m *mux) takeLocked(b []byte) []byte {
	taken := 0
	for _, s := range m.dirty {
		if len(b)+2*frameHeader > controlBytes {
			break
		}
		taken++
		b = s.appendFrames(b)
	}
	m.dirty = m.dirty[taken:]
	if len(m.dirty) == 0 {
		m.dirty = nil
	}
	return b
}

// errAbandoned: this side has given the stream up. errRefused: the peer has never taken it.
var (
	errAbandoned = errors.New("tunnel: stream was given up")
	errRefused   = errors.New("tunnel: the peer takes no more streams")
)

// controlBytes is how much of a write frames without a body may take.
const controlBytes = 1 << 10

// writeBuffers hold one write each.
//
//nolint:gochecknoglobals // a pool of memory
var writeBuffers = sync.Pool{New: func() any { return new([controlBytes + frameHeader + maxFrame]byte) }}

// write sends body as one data frame of s, behind what else waits to be sent.
func (m *mux) write(s *muxStream, body []byte) error {
	if err := m.beginWrite(s); err != nil {
		return err
	}
	defer func() { <-m.writing }()
	buf, _ := writeBuffers.Get().(*[controlBytes + frameHeader + maxFrame]byte)
	defer writeBuffers.Put(buf)
	m.mu.Lock()
	if err := m.err; err != nil || s.closed {
		m.mu.Unlock()
		return cmp.Or(err, io.ErrClosedPipe)
	}
	b := s.appendFrames(buf[:0]) // opens the stream, if need be
	b = m.takeLocked(b)
	m.mu.Unlock()
	b = frame{kind: frameData, stream: s.id, length: uint32(len(body))}.append(b) // ≤ maxFrame
	return m.send(append(b, body...))
}

// beginWrite takes the token. Another stream's write may hold it for as long as the peer reads nothing: s need not wait for it
// beyond its deadline or its end.
func (m *mux) beginWrite(s *muxStream) error {
	select {
	case m.writing <- struct{}{}: // in a bubble, time passes while a channel is waited for, and not for a mutex
		return nil
	default:
	}
	for {
		select {
		case m.writing <- struct{}{}:
			return nil
		case <-m.done:
			return m.ended()
		case <-s.writeLimit.passed():
			return os.ErrDeadlineExceeded
		case <-s.canWrite:
			if err := s.writeError(); err != nil {
				return err
			}
		}
	}
}

func (m *mux) send(b []byte) error {
	if _, err := m.conn.Write(b); err != nil {
		m.end(fmt.Errorf("tunnel: write: %w", err))
		return err
	}
	return nil
}

// controlLoop sends what has no body when nothing else is written.
func (m *mux) controlLoop() {
	var buf [controlBytes + 2*frameHeader]byte
	for {
		select {
		case <-m.done:
			return
		case <-m.wake:
		}
		for more := true; more; {
			m.writing <- struct{}{}
			m.mu.Lock()
			b := m.takeLocked(buf[:0])
			more = len(m.dirty) > 0
			m.mu.Unlock()
			var err error
			if len(b) > 0 {
				err = m.send(b)
			}
			<-m.writing
			if err != nil {
				return
			}
		}
	}
}

// readLoop takes the peer's frames until the connection ends or the peer breaks the protocol.
func (m *mux) readLoop() {
	r := bufio.NewReader(m.conn)
	var header [frameHeader]byte
	for {
		_, err := io.ReadFull(r, header[:])
		var f frame
		if err == nil {
			f, err = parseFrame(&header)
		}
		if err == nil {
			err = m.take(f, r)
		}
		if err != nil {
			if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
				m.alert.Store(op)
			}
			m.end(err)
			return
		}
	}
}

// take handles one frame and reads its body.
func (m *mux) take(f frame, r io.Reader) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.flags&flagSYN != 0 {
		if err := m.acceptLocked(f.stream); err != nil {
			return err
		}
	}
	s := m.streams[f.stream]
	if s == nil { // it was refused, or has ended: the rest of it is on its way
		return m.discardLocked(f, r)
	}
	if f.kind == frameWindow {
		s.sendWindow += int64(f.length)
		if s.sendWindow > maxWindow {
			return fmt.Errorf("%w: window of %d bytes", errFrame, s.sendWindow)
		}
		s.canWrite.Notify()
	}
	if f.kind == frameData && f.length > 0 {
		if err := s.receiveLocked(int(f.length), r); err != nil {
			return err
		}
	}
	m.flagsLocked(s, f.flags) // a FIN is behind the body
	return nil
}

// discardLocked reads over a body that no stream is there for.
func (m *mux) discardLocked(f frame, r io.Reader) error {
	if f.kind != frameData {
		return nil
	}
	if f.length > maxWindow {
		return fmt.Errorf("%w: %d bytes", errFrame, f.length)
	}
	return m.skipLocked(int64(f.length), r)
}

func (m *mux) skipLocked(n int64, r io.Reader) error {
	m.mu.Unlock()
	_, err := io.CopyN(io.Discard, r, n)
	m.mu.Lock()
	return err
}

func (m *mux) acceptLocked(id uint32) error {
	if id%2 == m.parity || id == 0 {
		return fmt.Errorf("%w: the peer opens stream %d, which is one of ours", errFrame, id)
	}
	if m.streams[id] != nil {
		return fmt.Errorf("%w: stream %d is open already", errFrame, id)
	}
	s := newMuxStream(m, id)
	select {
	case m.accepted <- s:
		m.streams[id] = s
	default: // more than anyone accepts
		m.meetLocked(LimitBacklog)
		s.flags = flagRST
		m.queueLocked(s)
		if len(m.dirty) > maxRefused {
			m.meetLocked(LimitRefusals)
			return fmt.Errorf("%w: %d streams are refused and the peer does not read it", errFrame, len(m.dirty))
		}
	}
	return nil
}

// flagsLocked is what a frame's flags mean for its stream.
func (m *mux) flagsLocked(s *muxStream, flags frameFlags) {
	if flags&flagACK != 0 {
		m.ackedLocked(s)
	}
	if flags&flagFIN != 0 {
		s.ended = true
		s.canRead.Notify()
	}
	if flags&flagRST != 0 {
		m.meetLocked(LimitPeer)
		s.reset, s.ended, s.closed = true, true, true
		s.wakeLocked()
	}
	m.forgetLocked(s)
}

func (m *mux) ackedLocked(s *muxStream) {
	if s.unacked {
		s.unacked = false
		m.unacked--
	}
}

// forgetLocked drops a stream on which nothing more comes or goes.
func (m *mux) forgetLocked(s *muxStream) {
	if !s.ended || !s.closed || m.streams[s.id] != s {
		return
	}
	m.ackedLocked(s)
	m.granted -= s.granted
	s.granted = 0
	delete(m.streams, s.id)
}
