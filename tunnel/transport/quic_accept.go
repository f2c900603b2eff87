package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

type quicListener struct {
	transport *quic.Transport
	ln        *quic.EarlyListener
	gate      Gate
	pending   atomic.Int32 // handshakes that go on
}

// Addr implements Listener.
func (l *quicListener) Addr() net.Addr { return l.ln.Addr() }

// Close implements Listener.
func (l *quicListener) Close() error { return l.ln.Close() }

// Serve implements Listener.
func (l *quicListener) Serve(ctx context.Context, handle func(context.Context, Session)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.ln.Accept(ctx)
		switch {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, quic.ErrServerClosed):
			return nil
		default:
			return fmt.Errorf("tunnel: accept QUIC: %w", err)
		}
		wg.Go(func() {
			h, ok := c.Context().Value(quicKey{}).(*quicHandshake)
			if !ok || !h.finish(ctx, c) {
				_ = c.CloseWithError(quicClosed, "")
				return
			}
			defer h.leave()
			evicted := func() { _ = c.CloseWithError(quicClosed, "") }
			defer context.AfterFunc(c.Context(), evicted)() //nolint:contextcheck // the connection's
			handle(ctx, newQUICSession(c, nil))
		})
	}
}

// quicHandshake is that of an inbound connection.
type quicHandshake struct {
	place Place
	// hello is true once the ClientHello has come.
	hello atomic.Bool
	// leave gives the place back, done notes that the handshake no longer goes on. Both may be called often.
	leave, done func()
}

// quicKey is where an inbound connection's context has its *quicHandshake.
type quicKey struct{}

var (
	errGate    = errors.New("tunnel: too many handshakes are under way")
	errEvicted = errors.New("tunnel: another connection needs its place")
)

// connContext is called for every inbound connection before its handshake. It bounds them, and reports failed
// handshakes, which the listener drops silently.
func (l *quicListener) connContext(life context.Context, info *quic.ClientInfo) (context.Context, error) {
	if l.pending.Add(1) > MaxQUICHandshakes {
		l.pending.Add(-1)
		l.gate.Overloaded(quicCaps().Name, info.RemoteAddr)
		return nil, errGate
	}
	h := &quicHandshake{done: sync.OnceFunc(func() { l.pending.Add(-1) })}
	// When it is evicted, its context ends: then nothing more that comes of it is understood, and it is closed if it was accepted.
	ctx, evict := context.WithCancelCause(context.WithValue(life, quicKey{}, h))
	h.place = l.gate.Admit(info.RemoteAddr, func() { evict(errEvicted) })
	h.leave = sync.OnceFunc(h.place.Leave)
	context.AfterFunc(life, func() {
		h.done()
		h.failed(context.Cause(life))
		h.leave()
	})
	return withHello(ctx, func() error {
		h.hello.Store(true)
		h.place.Hello()
		return h.begin(ctx)
	}), nil
}

// begin takes a turn for the server's flight, after which the connection is accepted.
func (h *quicHandshake) begin(ctx context.Context) error {
	if err := h.place.Turn(ctx); err != nil {
		return err
	}
	time.AfterFunc(quicTurn, h.place.Yield)
	return nil
}

// failed reports a handshake that ended. It does nothing after one that has succeeded.
func (h *quicHandshake) failed(err error) {
	if te, ok := errors.AsType[*quic.TransportError](err); ok && te.ErrorCode.IsCryptoError() {
		h.place.Failed(quicCaps().Name, err)
		return
	}
	_, idle := errors.AsType[*quic.IdleTimeoutError](err)
	_, late := errors.AsType[*quic.HandshakeTimeoutError](err)
	if (idle || late) && !h.hello.Load() {
		h.place.Failed(quicCaps().Name, ErrNoHello)
	}
}

// finish waits for the rest of the handshake; false: it failed.
func (h *quicHandshake) finish(ctx context.Context, c *quic.Conn) bool {
	h.place.Yield()
	select {
	case <-c.HandshakeComplete():
	case <-c.Context().Done():
		return false
	case <-ctx.Done():
		return false
	}
	h.done()
	h.place.Proved()
	return c.Context().Err() == nil
}
