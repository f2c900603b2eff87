package dial

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/eastway/eastway/internal/relay"
)

// Early reads the application before an endpoint has accepted and keeps a copy of what it read,
// and its FIN, to be replayed to the next candidate. Exactly one goroutine reads the application at any
// time: a pump, while one runs, and the relay's copy afterwards; between two of them lies the end of the first, waited for.
type Early struct {
	app  relay.Socket
	gone func()

	mu       sync.Mutex
	finished bool
	pump     *pump

	// What was read; owned by the running pump, else by the goroutine that has waited for its end.
	copied []byte
	fin    bool
	sent   int64
}

// NewEarly reads app, of which first was read before; gone is called when the application reset the connection.
func NewEarly(app relay.Socket, first []byte, gone func()) *Early {
	return &Early{app: app, gone: gone, copied: first}
}

// Sent is how many early bytes went to the winner, and whether the application's end was read; valid once the relay has ended.
func (e *Early) Sent() (n int64, ended bool) { return e.sent, e.fin }

// pump carries early bytes into one attempt.
type pump struct {
	stream Stream
	done   chan struct{}
	// What of the copy, and whether the FIN, went into the stream; to be read after done.
	written int
	ended   bool
	// readErr is why the application could not be read.
	readErr error
}

// start lets bytes flow into s, the replay first. Only one attempt is open at that time: the pump of
// the one before it has no more stream to write to and ends at once.
func (e *Early) start(s Stream, g *gate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.finished || g.state.Load() == gateClosed {
		return
	}
	e.stop()
	e.pump = &pump{stream: s, done: make(chan struct{})}
	go e.run(e.pump, g)
}

// stop ends the pump that runs, if any, without losing a byte. A pump that is writing ends
// with its stream.
func (e *Early) stop() {
	if e.pump == nil {
		return
	}
	e.app.Interrupt()
	<-e.pump.done
	e.app.Resume()
	e.pump = nil
}

// Discard ends early reading when no candidate accepted; the streams are reset by then.
func (e *Early) Discard() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finished = true
	e.stop()
}

// HandOver ends early reading because winner accepted, and returns what the relay has to do first:
// to wait for the pump, which may be writing into the winner, and send what it has not sent. It does not block itself, so that
// the answer flows already. A nil winner is a local endpoint: nothing was written to it.
func (e *Early) HandOver(winner Stream) func() relay.Head {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finished = true
	p := e.pump
	if p == nil {
		if len(e.copied) == 0 && !e.fin {
			return nil
		}
		return func() relay.Head { return relay.Head{Rest: e.copied, Ended: e.fin} }
	}
	e.app.Interrupt()
	return func() relay.Head {
		<-p.done
		e.app.Resume()
		h := relay.Head{Rest: e.copied, Ended: e.fin, Err: p.readErr}
		e.copied = nil
		if p.stream == winner {
			// Had writing failed, the relay's own write would fail alike.
			h.Rest, h.Passed = h.Rest[p.written:], p.ended
			e.sent = int64(p.written)
		}
		return h
	}
}

func (e *Early) run(p *pump, g *gate) {
	defer close(p.done)
	for {
		if p.written < len(e.copied) || e.fin {
			if !g.commit() {
				return
			}
			if err := e.forward(p); err != nil || e.fin {
				return // the attempt's outcome explains the error
			}
		}
		if len(e.copied) == ReplayLimit {
			return
		}
		if !e.read(p) {
			return
		}
	}
}

// forward writes what the stream has not got yet.
func (e *Early) forward(p *pump) error {
	if p.written < len(e.copied) {
		n, err := p.stream.Write(e.copied[p.written:])
		p.written += n
		if err != nil {
			return err
		}
	}
	if !e.fin {
		return nil
	}
	err := p.stream.CloseWrite()
	p.ended = err == nil
	return err
}

// read adds to the copy. It returns false when the pump is to end.
func (e *Early) read(p *pump) bool {
	if len(e.copied) == cap(e.copied) {
		size := ReplayStart
		if cap(e.copied) >= ReplayStart {
			size = ReplayLimit
		}
		e.copied = append(make([]byte, 0, size), e.copied...)
	}
	n, err := e.app.Read(e.copied[len(e.copied):cap(e.copied)])
	e.copied = e.copied[:len(e.copied)+n]
	switch {
	case err == nil:
		return true
	case errors.Is(err, io.EOF):
		e.fin = true
		return true
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false
	default:
		p.readErr = err
		e.gone()
		return false
	}
}
