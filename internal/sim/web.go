package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/sim/pattern"
	"github.com/eastway/eastway/internal/sim/simnet"
)

// webAppPort is where apps serve HTTP.
const webAppPort = 8082

// webPort is where a proxy listens for a service's HTTP port, and that port.
func webPort(service int) uint16 { return uint16(9500 + service) }

// Fields of an answer from an endpoint: the request's ID, the sum of what the endpoint got, the endpoint, and its execution.
const (
	askField = "X-Sim-Ask"
	sumField = "X-Sim-Sum"
	appField = "X-Sim-App"
	runField = "X-Sim-Run"
	// attemptField is set by proxies from the second try on.
	attemptField = "X-Eastway-Attempt"
)

// webMode is what an endpoint does with HTTP requests while a fault has it do so; the zero value is usual.
type webMode struct {
	status int           // what it answers, beside the usual
	half   bool          // it breaks off in the middle of an answer
	unread bool          // it resets before it has read the request's body
	reset  bool          // it resets before it answers
	close  time.Duration // it closes kept connections after so long
}

// webServer is the part of an app that serves HTTP.
type webServer struct {
	app *app

	mu     sync.Mutex
	server *http.Server // of the process that runs
	mode   webMode
	idle   map[net.Conn]bool
}

// webRoute names what an app does to HTTP requests; see truth.
func (a *app) webRoute() string { return a.name + " web" }

// start makes the server of a new process.
func (s *webServer) start() *http.Server {
	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), Protocols: new(http.Protocols), ConnState: s.connState,
		ErrorLog: zap.NewStdLog(zap.NewNop()), IdleTimeout: time.Minute, ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		HTTP2:       &http.HTTP2Config{MaxReceiveBufferPerConnection: 128 << 10, MaxReceiveBufferPerStream: 64 << 10},
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.idle = server, make(map[net.Conn]bool)
	return server
}

func (s *webServer) current() *http.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// end ends the server of a process that was killed.
func (s *webServer) end() { _ = s.current().Close() }

// drain is what servers do on SIGTERM: idle connections end, others after their request.
func (s *webServer) drain() {
	now, cancel := context.WithCancel(s.app.w.ctx)
	cancel()
	_ = s.current().Shutdown(now)
}

type connKey struct{}

// connState closes what is idle, where the mode says so, and notes in the truth that the endpoint has closed a kept connection: a
// request that is under way to it may be lost.
func (s *webServer) connState(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateIdle:
		s.idle[c] = true
		if after := s.mode.close; after > 0 {
			time.AfterFunc(after, func() { s.closeIdle(c) })
		}
	case http.StateActive:
		delete(s.idle, c)
	case http.StateClosed, http.StateHijacked:
		if s.idle[c] {
			now := time.Now()
			s.app.w.truth.note(s.app.webRoute(), "the endpoint closed a kept connection", now, now.Add(time.Second))
		}
		delete(s.idle, c)
	default:
	}
}

func (s *webServer) closeIdle(c net.Conn) {
	s.mu.Lock()
	idle := s.idle[c]
	s.mu.Unlock()
	if idle {
		_ = c.Close()
	}
}

func (s *webServer) setMode(m webMode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
}

func (s *webServer) currentMode() webMode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode
}

// serve executes one request.
func (s *webServer) serve(w http.ResponseWriter, r *http.Request) {
	ask, err := parseAsk(r)
	if err != nil {
		s.app.w.findings.violate(RuleWhole, "%s: %v", s.app.name, err)
		panic(http.ErrAbortHandler)
	}
	mode := s.currentMode()
	run := s.app.w.ledger.served(s.app, ask, r.Header.Get(attemptField))
	if mode.unread {
		s.breakOff(r, ask)
	}
	sum, err := s.read(r, ask)
	if err != nil {
		s.app.w.trace.Add("%s: the body of request %d: %v", s.app.name, ask.ID, err)
		panic(http.ErrAbortHandler)
	}
	if !sleep(r.Context(), ask.Think) {
		panic(http.ErrAbortHandler)
	}
	if mode.reset {
		s.breakOff(r, ask)
	}
	s.answer(w, r, ask, run, sum, mode)
}

// read reads the request's body and checks it.
func (s *webServer) read(r *http.Request, ask *Ask) (sum string, err error) {
	h := fnv.New64a()
	in := flow{content: pattern.Of(ask.ID, pattern.ToEndpoint)}
	err = in.receiveAll(io.TeeReader(r.Body, h))
	bad := new(wrongByteError)
	switch {
	case errors.As(err, &bad):
		s.app.w.findings.violate(RuleWhole, "%s: body of request %d: %v", s.app.name, ask.ID, err)
	case err == nil && in.at != int64(ask.Up):
		s.app.w.findings.violate(RuleWhole, "%s: body of request %d ends clean after %d bytes of %d", s.app.name, ask.ID, in.at, ask.Up)
	}
	return strconv.FormatUint(h.Sum64(), 16), err
}

// breakOff ends the request's connection: with a reset, or for some requests with a FIN, where that cannot pass for a whole answer.
func (s *webServer) breakOff(r *http.Request, ask *Ask) {
	if c, ok := r.Context().Value(connKey{}).(*simnet.Conn); ok && (ask.Framing == UntilClose || ask.ID%2 == 0) {
		_ = c.SetLinger(0)
	}
	panic(http.ErrAbortHandler)
}

// answer answers as the request has it.
func (s *webServer) answer(w http.ResponseWriter, r *http.Request, ask *Ask, run *execution, sum string, mode webMode) {
	h := w.Header()
	h.Set(askField, strconv.Itoa(ask.ID))
	h.Set(sumField, sum)
	h.Set(appField, s.app.name)
	h.Set(runField, strconv.Itoa(run.number))
	conn, _ := r.Context().Value(connKey{}).(*simnet.Conn)
	switch {
	case mode.status != 0:
		s.app.w.ledger.answers(run, mode.status)
		w.WriteHeader(mode.status)
		return
	case ask.Framing == Length:
		h.Set("Content-Length", strconv.Itoa(ask.Down))
	case ask.Framing == UntilClose && r.ProtoMajor == 1:
		h["Transfer-Encoding"] = []string{"identity"} // which has net/http send none
		h.Set("Connection", "close")
		_ = conn.SetLinger(0) // until it has been sent
	}
	s.app.w.ledger.answers(run, http.StatusOK)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	out := flow{content: pattern.Of(ask.ID, pattern.ToCaller)}
	down := ask.Down
	if mode.half {
		down /= 2
	}
	err := out.send(w, down)
	if err == nil && ask.ID%2 == 0 {
		err = http.NewResponseController(w).Flush()
	}
	switch {
	case err != nil:
		panic(http.ErrAbortHandler)
	case mode.half:
		_ = http.NewResponseController(w).Flush()
		s.breakOff(r, ask)
	case ask.Framing == UntilClose && r.ProtoMajor == 1:
		_ = conn.SetLinger(-1)
	}
}

// sleep lets time pass; false: the request was given up.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// askBody is the body of a request as its client sends it.
type askBody struct {
	ctx  context.Context //nolint:containedctx // the request's
	ask  *Ask
	flow flow
	slow bool // it has been
}

func newAskBody(ctx context.Context, a *Ask) *askBody {
	return &askBody{ctx: ctx, ask: a, flow: flow{content: pattern.Of(a.ID, pattern.ToEndpoint)}}
}

// Read implements io.Reader.
func (b *askBody) Read(p []byte) (int, error) {
	left := int64(b.ask.Up) - b.flow.at
	if b.ask.Slow > 0 && !b.slow {
		if left -= int64(b.ask.Up+1) / 2; left <= 0 {
			b.slow = true
			if !sleep(b.ctx, b.ask.Slow) {
				return 0, context.Cause(b.ctx)
			}
			left = int64(b.ask.Up) - b.flow.at
		}
	}
	if left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), left)
	b.flow.content.Fill(p[:n], b.flow.at)
	b.flow.at += n
	return int(n), nil
}

// Close implements io.Closer.
func (*askBody) Close() error { return nil }

// sumOf is the sum of a request's whole body.
func sumOf(a *Ask) string {
	h := fnv.New64a()
	_ = (&flow{content: pattern.Of(a.ID, pattern.ToEndpoint)}).send(h, a.Up)
	return fmt.Sprintf("%x", h.Sum64())
}
