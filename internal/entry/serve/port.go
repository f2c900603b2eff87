package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/eastway/eastway/failover/http/sniff"
	"github.com/eastway/eastway/internal/entry/route"
	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/internal/source"
)

// port is one that is listened on.
type port struct {
	number   uint16
	owner    types.UID // of the Gateway that has it alone
	server   *Server
	listener net.Listener
	http     *http.Server
	queue    *queue
	tls      atomic.Bool // new connections are of TLS
	config   *tls.Config
	short    *shortage.Accepts

	ctx    context.Context //nolint:containedctx // of requests: it ends when they have to
	cancel context.CancelFunc

	accepting sync.WaitGroup
	conns     sync.WaitGroup
	requests  sync.WaitGroup
	mu        sync.Mutex
	fronts    map[*front]struct{}
}

// open begins to listen.
func (s *Server) open(ctx context.Context, want *route.Port) (*port, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.address(want.Number))
	if err != nil {
		return nil, httpserve.ListenError(s.address(want.Number), err)
	}
	p := &port{
		number: want.Number, owner: want.Owner, server: s, listener: l, fronts: make(map[*front]struct{}),
		short: shortage.NewAccepts(fmt.Sprintf("port %d", want.Number), s.log, s.cfg.Registerer),
	}
	p.tls.Store(want.TLS)
	p.config = s.tlsConfig(want.Number)
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.queue = newQueue(p.ctx, l.Addr()) //nolint:contextcheck // it outlives ctx
	p.http = &http.Server{
		Handler: http.HandlerFunc(s.serveHTTP), ErrorLog: s.proxy.ErrorLog,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 2 * maxHeaderBytes, // beyond, it refuses HTTP/2 where it is not seen
		// "OPTIONS *" is the backend's to answer.
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return p.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, frontKey{}, c)
		},
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: bodyWindow},
		Protocols: new(http.Protocols),
	}
	p.http.Protocols.SetHTTP1(true)
	p.http.Protocols.SetUnencryptedHTTP2(true) // of TLS, too, what is decrypted
	p.accepting.Go(p.accept)
	p.accepting.Go(func() { _ = p.http.Serve(p.queue) })
	return p, nil
}

type frontKey struct{}

// shut closes the listener, lets requests finish for so long, and closes what is left.
func (p *port) shut(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_ = p.listener.Close()
	_ = p.http.Shutdown(ctx) // idle connections end now, and HTTP/2 begins no more requests
	p.accepting.Wait()
	left := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		p.conns.Wait() // those too that were switched to another protocol
		close(left)
	})
	select {
	case <-left:
	case <-ctx.Done():
		p.mu.Lock()
		fronts := slices.Collect(maps.Keys(p.fronts))
		p.mu.Unlock()
		for _, f := range fronts {
			f.cut()
		}
		_ = p.http.Close()
	}
	p.cancel()
	waiting.Wait()
	p.requests.Wait()
}

// accept admits connections until the listener is closed.
func (p *port) accept() {
	failures := 0
	for {
		c, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptor, no memory: it passes
			failures++
			p.short.Failed(err)
			pace.Sleep(p.ctx, pace.Backoff(failures, acceptBackoffMin, acceptBackoffMax))
			continue
		}
		failures = 0
		p.admit(c)
	}
}

// admit gives a connection a place, if there is one for it.
func (p *port) admit(c net.Conn) {
	s := p.server
	name := fmt.Sprintf("port %d", p.number)
	if err := s.gate.AdmitConn(c); err != nil {
		s.refuse(noDescriptor, name, err.Error())
		_ = c.Close()
		return
	}
	f := &front{Conn: c, raw: c, port: p, trusted: s.trusts(c.RemoteAddr())}
	if p.tls.Load() {
		f.Conn = tls.Server(c, p.config)
	}
	from := source.Of(c.RemoteAddr())
	p.register(f) // before it has a place: from then on, another connection may take that and end this one
	s.slotsMu.Lock()
	added, victim, why := s.slots.admit(from, f.trusted)
	if added != nil {
		f.slot, added.end = added, f.cut
	}
	s.slotsMu.Unlock()
	if victim != nil {
		s.metrics.evicted.Inc()
		victim.end()
	}
	if added == nil {
		of := name
		if why == sourceFull {
			of = "source " + from.String()
		}
		s.refuse(why, of, c.RemoteAddr().String())
		_ = c.Close()
		p.forget(f)
		return
	}
	p.accepting.Go(func() { p.prepare(f) })
}

func (p *port) register(f *front) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fronts[f] = struct{}{}
	p.conns.Add(1)
}

func (p *port) forget(f *front) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fronts, f)
	p.conns.Done()
}

// left frees the place of a connection that ends.
func (s *Server) left(f *front) {
	s.slotsMu.Lock()
	s.slots.remove(f.slot)
	s.slotsMu.Unlock()
	f.port.forget(f)
}

// prepare finds out what a connection carries, and hands it to the server of requests.
func (p *port) prepare(f *front) {
	if !p.identify(f) || f.SetDeadline(time.Time{}) != nil {
		_ = f.Close()
		return
	}
	select {
	case p.queue.conns <- f:
	case <-p.queue.closed:
		_ = f.Close()
	}
}

func (p *port) identify(f *front) bool {
	_ = f.SetDeadline(time.Now().Add(headerTimeout))
	stop := context.AfterFunc(p.queue.ctx, func() { _ = f.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if secured, ok := f.Conn.(*tls.Conn); ok {
		if err := secured.HandshakeContext(p.ctx); err != nil {
			if !errors.Is(err, io.EOF) { // a load balancer that looks whether the port is open
				p.server.refuse(badTLS, fmt.Sprintf("port %d", p.number), err.Error())
			}
			return false
		}
		state := secured.ConnectionState()
		f.tls = &state
		kind := sniff.HTTP1
		if state.NegotiatedProtocol == protoHTTP2 {
			kind = sniff.HTTP2
		}
		f.begins(kind, nil)
		return stop()
	}
	b := make([]byte, 0, sniff.Max)
	for {
		n, err := f.Conn.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		kind := sniff.Of(b)
		if kind != sniff.Undecided || err != nil && len(b) > 0 {
			f.begins(kind, b)
			return stop()
		}
		if err != nil {
			return false
		}
	}
}

// queue is the listener of the server of requests: connections that were prepared.
type queue struct {
	addr   net.Addr
	conns  chan *front
	closed <-chan struct{}
	ctx    context.Context //nolint:containedctx // ends when it is closed
	end    context.CancelFunc
}

func newQueue(ctx context.Context, addr net.Addr) *queue {
	q := &queue{addr: addr, conns: make(chan *front)}
	q.ctx, q.end = context.WithCancel(ctx)
	q.closed = q.ctx.Done()
	return q
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case f := <-q.conns:
		return f, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.end()
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return q.addr }
