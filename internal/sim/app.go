package sim

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/sim/pattern"
	"github.com/eastway/eastway/internal/sim/simnet"
)

// Ports of every app. On the second it speaks first.
const (
	appPort     = 8080
	greetedPort = 8081
)

// app is one endpoint: a process on a host of its own, and what its cluster's catalog says of it.
type app struct {
	w        *world
	cluster  *cluster
	name     string
	service  int
	host     *simnet.Host
	locality discovery.Locality
	busy     claim
	webBusy  claim

	mu        sync.Mutex
	proc      *simnet.Process
	listeners []*simnet.Listener
	web       *webServer // nil: no port is HTTP
	wg        sync.WaitGroup

	// What the catalog says; guarded by the cluster's mu.
	listed, ready, terminating bool
}

// route names an app as a way that calls may take; see truth.
func (a *app) route() string { return a.name + " route" }

// start starts the process.
func (a *app) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.proc = a.host.Start()
	a.listeners = nil
	for _, port := range []uint16{appPort, greetedPort} {
		ln, err := a.proc.Listen(port)
		if err != nil {
			a.w.findings.violate(RuleClean, "%s cannot listen: %v", a.name, err)
			return
		}
		ln.SetLinger(0) // also while it has not been accepted
		a.listeners = append(a.listeners, ln)
		a.wg.Go(func() { a.accept(ln, port == greetedPort) })
	}
	if a.web != nil {
		a.startWeb()
	}
}

// startWeb starts what serves HTTP. Its connections end with a FIN where nothing else is set: net/http ends idle ones.
func (a *app) startWeb() {
	ln, err := a.proc.Listen(webAppPort)
	if err != nil {
		a.w.findings.violate(RuleClean, "%s cannot listen: %v", a.name, err)
		return
	}
	a.listeners = append(a.listeners, ln)
	server := a.web.start()
	a.wg.Go(func() { _ = server.Serve(ln) })
}

func (a *app) setMode(m simnet.Mode) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ln := range a.listeners {
		ln.SetMode(m)
	}
}

// kill is kill -9.
func (a *app) kill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.proc.Kill()
	if a.web != nil {
		a.web.end()
	}
	a.wg.Wait()
}

// stopAccepting is what an app does on SIGTERM; its connections go on.
func (a *app) stopAccepting() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.web != nil {
		a.web.drain()
	}
	for _, ln := range a.listeners {
		_ = ln.Close()
	}
}

func (a *app) accept(ln *simnet.Listener, greet bool) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		a.wg.Go(func() { a.serve(c.(*simnet.Conn), greet) }) //nolint:forcetypeassert // simnet's
	}
}

// serve serves one connection. Until it has ended clean on both sides it ends with a reset, also when the app is killed.
func (a *app) serve(c *simnet.Conn, greet bool) {
	defer func() { _ = c.Close() }()
	_ = c.SetLinger(0)
	if greet {
		if _, err := c.Write(make([]byte, greetingSize)); err != nil {
			return
		}
	}
	call, err := a.request(c)
	if err != nil {
		return
	}
	s := &serving{app: a, conn: c, call: call, in: flow{content: pattern.Of(call.ID, pattern.ToEndpoint)}}
	s.out.content = pattern.Of(call.ID, pattern.ToCaller)
	if err = s.run(); err == nil {
		_ = c.SetLinger(-1)
		return
	}
	a.w.trace.Add("%s: call %d ended: %v", a.name, call.ID, err)
	a.judge(s, err)
}

// request reads the header. A connection that ends without a byte is a probe, or lost a race.
func (a *app) request(c net.Conn) (*Call, error) {
	b := make([]byte, headerSize)
	n, err := c.Read(b[:1])
	if n == 0 {
		if errors.Is(err, io.EOF) {
			_ = c.(*simnet.Conn).SetLinger(-1) //nolint:forcetypeassert // simnet's
		}
		return nil, fmt.Errorf("no request: %w", err)
	}
	began := time.Now()
	if n, err = io.ReadFull(c, b[1:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			a.w.findings.violate(RuleWhole, "%s reads a clean end after %d bytes of a header", a.name, n+1)
		}
		return nil, err
	}
	call, err := parseHeader(b)
	if err != nil {
		a.w.findings.violate(RuleWhole, "%s reads a header that is none: %x", a.name, b)
		return nil, err
	}
	a.w.ledger.executed(a, call.ID, began)
	return call, nil
}

// judge looks at a call that the endpoint did not see end well.
func (a *app) judge(s *serving, err error) {
	if bad := new(wrongByteError); errors.As(err, &bad) {
		a.w.findings.violate(RuleWhole, "%s: request of call %d: %v", a.name, s.call.ID, err)
	}
	if errors.Is(err, io.EOF) {
		a.w.findings.violate(RuleWhole, "%s: request of call %d ends clean after %d bytes of %d", a.name, s.call.ID, s.in.at, s.call.Up)
	}
}

// serving is one call at its endpoint.
type serving struct {
	app     *app
	conn    *simnet.Conn
	call    *Call
	in, out flow
}

var errGivenUp = errors.New("given up by plan")

func (s *serving) run() error {
	c := s.call
	switch c.Kind {
	case Upload:
		return s.upload()
	case Session:
		for step := range c.Steps {
			if err := s.in.receive(s.conn, part(c.Up, c.Steps, step)); err != nil {
				return err
			}
			if err := s.out.send(s.conn, part(c.Down, c.Steps, step)); err != nil {
				return err
			}
		}
		return s.end(false)
	default:
	}
	if err := s.in.receive(s.conn, c.Up); err != nil {
		return err
	}
	if c.Kind != Stalled {
		pass(c.Think)
	}
	switch c.Kind {
	case EndpointResets:
		if err := s.out.send(s.conn, c.Down/2); err != nil {
			return err
		}
		return errGivenUp
	case Stalled:
		return s.stall()
	default:
	}
	if err := s.out.send(s.conn, c.Down); err != nil {
		return err
	}
	return s.end(c.Kind == UntilEnd)
}

// upload answers once the request's end was read.
func (s *serving) upload() error {
	if err := s.in.receiveAll(s.conn); err != nil {
		return err
	}
	if s.in.at != int64(s.call.Up) {
		return io.EOF
	}
	pass(s.call.Think)
	if err := s.out.send(s.conn, s.call.Down); err != nil {
		return err
	}
	return s.conn.CloseWrite()
}

// stall writes until nothing has been taken for a while.
func (s *serving) stall() error {
	for {
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.call.Think))
		if err := s.out.send(s.conn, 16<<10); err != nil {
			s.app.w.ledger.gaveUp(s.call.ID, s.app.host.Awake())
			return errGivenUp
		}
	}
}

// end waits for the caller's end, after the own one where that marks the answer.
func (s *serving) end(first bool) error {
	if first {
		if err := s.conn.CloseWrite(); err != nil {
			return err
		}
	}
	if err := s.in.receiveAll(s.conn); err != nil {
		return err
	}
	if s.in.at != int64(s.call.Up) {
		return fmt.Errorf("%d bytes behind the request", s.in.at-int64(s.call.Up))
	}
	return nil
}

// part is one of so many parts of n.
func part(n, of, which int) int { return n*(which+1)/of - n*which/of }
