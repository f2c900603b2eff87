package relay

import "io"

// Tunneled is what a stream of a tunnel offers.
type Tunneled interface {
	io.Reader
	io.Writer
	CloseWrite() error
	Reset(reason string)
	Done() <-chan struct{}
}

// Stream is an End on a stream of a tunnel.
type Stream struct{ Tunneled }

// NewStream makes s an End.
func NewStream(s Tunneled) *Stream { return &Stream{Tunneled: s} }

// Abort resets the stream.
func (s *Stream) Abort(reason string) { s.Reset(reason) }

// Broken is closed when the other side reset the stream or the lane died.
func (s *Stream) Broken() <-chan struct{} { return s.Done() }

func (s *Stream) readBuffer(b *buffer) (int, error) { return s.Read(b.acquire()) }

// flush has nothing to do: a stream's bytes are handed over when Write returns, and its reset travels apart from them.
func (*Stream) flush() {}

// release has nothing to do: a stream whose both directions ended is done.
func (*Stream) release() {}
