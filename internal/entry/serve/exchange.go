package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/internal/entry/route"
)

// exchange is one request and its answer.
type exchange struct {
	server   *Server
	front    *front
	r        *http.Request
	w        *writer
	body     *body // nil: none
	decision route.Decision
	entry    access.Entry
	timer    *time.Timer // of the route's timeout; nil: none
	began    time.Time
}

// errTimeout ends requests that take longer than their route allows.
var errTimeout = errors.New("the timeout of the HTTPRoute has passed")

// serveHTTP is the handler of all ports.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := r.Context().Value(frontKey{}).(*front)
	if !ok {
		panic(http.ErrAbortHandler) // not reached: each connection is a front
	}
	why, ok := f.begin()
	if !ok {
		panic(http.ErrAbortHandler) // the connection has just made room for another one
	}
	defer f.ended(why)
	r.TLS = f.tls
	e := &exchange{server: s, front: f, r: r, began: time.Now()}
	e.w = &writer{ResponseWriter: w, e: e, control: http.NewResponseController(w)}
	_ = e.w.control.SetWriteDeadline(time.Time{}) // that of the request before
	if r.Body != nil && r.Body != http.NoBody {
		e.body = newBody(w, r)
		r.Body = e.body
	}
	aborted := true
	defer func() { e.finish(aborted) }()
	if !e.rejected(why) {
		e.answer(r.Context())
	}
	aborted = false
}

// rejected answers what is not served, whatever its route: one request too many, and those that are malformed.
func (e *exchange) rejected(why refusal) bool {
	e.entry = access.Entry{Started: e.began, Direction: access.Entering, Caller: e.r.RemoteAddr, Port: e.front.port.number, HTTP: described(e.r)}
	if why != "" {
		e.overload(why)
		return true
	}
	if e.front.strict != nil {
		return false // verified already
	}
	if e.r.ProtoMajor == 1 { // agreed on HTTP/2 by ALPN
		e.w.Header().Set("Connection", "close")
		e.refuse(http.StatusBadRequest, malformed, "HTTP/1.1 after HTTP/2 was agreed on by ALPN")
		return true
	}
	if v := h1.Check(e.r.Method, e.r.RequestURI, e.r.Host); v != nil {
		e.refuse(http.StatusBadRequest, malformed, v.Error())
		return true
	}
	if status, detail := badFields(e.r); status != 0 {
		e.refuse(status, malformed, detail)
		return true
	}
	return false
}

// overload answers a request for which there is no room.
func (e *exchange) overload(why refusal) {
	e.entry.Result, e.entry.Ended = access.Refused, string(why)
	of := fmt.Sprintf("port %d", e.front.port.number)
	if why == sourceRequestsFull {
		of = "source " + e.front.slot.source.String()
	}
	e.w.Header().Set("Retry-After", "1")
	e.turnDown(http.StatusServiceUnavailable, why, of, e.r.RemoteAddr)
}

// answer decides about the request and answers it.
func (e *exchange) answer(ctx context.Context) {
	if (e.front.tls != nil) != e.front.port.tls.Load() { // the port has changed since the connection came
		e.w.Header().Set("Connection", "close")
		e.refuse(http.StatusMisdirectedRequest, misdirected, "the port has changed between HTTP and HTTPS: connect again")
		return
	}
	e.decision = e.server.current().Match(e.front.port.number, e.r, rand.Uint64()) // no secret: it chooses a backend
	d := &e.decision
	if !e.front.proves(d.Listener) {
		e.w.Header().Set("Connection", "close")
		e.refuse(http.StatusMisdirectedRequest, misdirected, "the Gateway's spec.tls.frontend has changed since the connection came: connect again")
		return
	}
	if d.Listener != nil && d.Listener.Port != 0 {
		e.entry.Port = d.Listener.Port // the client's, not the process's
	}
	if d.Rule != nil {
		e.entry.HTTP.Route = d.Rule.Route.String()
	}
	if wait, key := e.server.limits.take(d, e.r, e.began); wait > 0 {
		e.w.Header().Set("Retry-After", strconv.Itoa(max(int(math.Ceil(wait.Seconds())), 1)))
		e.entry.Result = access.RateLimited
		e.refuse(http.StatusTooManyRequests, rateLimited, "TrafficPolicy "+key)
		return
	}
	switch d.Kind {
	case route.Redirect:
		e.w.Header().Set("Location", d.Location)
		e.w.WriteHeader(d.Status)
	case route.Preflight:
		e.w.WriteHeader(d.Status)
	case route.Forward:
		e.forward(ctx)
	case route.Refuse:
		e.refuse(d.Status, refusal(d.Reason), d.Message)
	}
}

// described is what the access log has of a request.
func described(r *http.Request) *access.HTTP {
	return &access.HTTP{
		Method: access.Clip(r.Method), Path: access.Clip(r.RequestURI), Protocol: r.Proto,
		Authority: access.Clip(r.Host), UserAgent: access.Clip(r.UserAgent()), RequestID: access.Clip(r.Header.Get("X-Request-Id")),
		TraceID: access.TraceID(r.Header.Get("Traceparent")),
	}
}

// refuse answers a request that is not forwarded, or that failed.
func (e *exchange) refuse(status int, why refusal, detail string) {
	e.entry.Ended = string(why)
	if e.entry.Result == "" {
		e.entry.Result = access.Refused
	}
	e.turnDown(status, why, e.subject(), detail)
}

func (e *exchange) turnDown(status int, why refusal, of, detail string) {
	e.server.refuse(why, of, access.Clip(detail))
	if e.w.status != 0 {
		return // a part of the answer has gone out
	}
	e.leaveBody()
	h := e.w.Header()
	if route.IsCall(e.r) {
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", strconv.Itoa(grpcStatusFor(status)))
		h.Set("Grpc-Message", "eastway: "+string(why))
		e.w.call = true
		e.w.WriteHeader(status)
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	e.w.WriteHeader(status)
	_, _ = io.WriteString(e.w, http.StatusText(status)+"\n") // not the detail: it may name what is inside
}

// subject is what a refusal is about: few values, none of which a client chooses.
func (e *exchange) subject() string {
	if rule := e.decision.Rule; rule != nil {
		return rule.Kind + " " + rule.Route.String()
	}
	return fmt.Sprintf("port %d", e.front.port.number)
}

// failed answers a request that was not forwarded to its end: net/http's ReverseProxy calls it.
func (e *exchange) failed(_ http.ResponseWriter, r *http.Request, err error) {
	e.entry.Err = err
	var reading error
	if e.body != nil {
		reading = e.body.failure()
	}
	_, violated := errors.AsType[*h1.Violation](reading)
	dial, _ := errors.AsType[*dialError](err)
	switch {
	case errors.Is(context.Cause(r.Context()), errTimeout):
		e.entry.Result = access.Timeout
		e.refuse(http.StatusGatewayTimeout, timedOut, err.Error())
	case violated:
		e.refuse(http.StatusBadRequest, malformed, reading.Error())
	case errors.Is(reading, os.ErrDeadlineExceeded):
		e.w.Header().Set("Connection", "close")
		e.refuse(http.StatusRequestTimeout, slowBody, fmt.Sprintf("%d bytes came", e.body.end()))
	case reading != nil, e.r.Context().Err() != nil: // the client has gone
		e.entry.Result, e.entry.Ended = access.ClientReset, "client"
		panic(http.ErrAbortHandler)
	case errors.Is(err, syscall.EMFILE):
		e.entry.Result = access.NoEndpoint
		e.refuse(http.StatusServiceUnavailable, noDescriptor, err.Error())
	case dial != nil:
		e.entry.Result = access.NoEndpoint
		e.refuse(http.StatusServiceUnavailable, unavailable, err.Error())
	case e.decision.Backend.TLS != nil && isTLS(err):
		e.entry.Result = access.Reset
		e.refuse(http.StatusBadGateway, backendTLS, fmt.Sprintf("BackendTLSPolicy %s: %v", e.decision.Backend.TLS.Policy, err))
	default:
		e.entry.Result = access.Reset
		e.refuse(http.StatusBadGateway, backendFailed, err.Error())
	}
}

// leaveBody has the answer go out at once: net/http's server would read the rest of the body of HTTP/1.1 before.
func (e *exchange) leaveBody() {
	if e.body != nil && e.r.ProtoMajor == 1 && !e.body.isWhole() {
		e.w.Header().Set("Connection", "close")
	}
}

// switched is called when the connection carries another protocol from now on: timeouts are those of requests.
func (e *exchange) switched() {
	if e.timer != nil {
		e.timer.Stop()
	}
}

// finish writes the line of the access log and counts the request.
func (e *exchange) finish(aborted bool) {
	entry := &e.entry
	if e.body != nil {
		entry.Up = e.body.end()
	}
	entry.Down = e.w.wrote
	if h := e.w.hijacked; h != nil {
		entry.Up, entry.Down = h.up.Load(), h.down.Load()
	} else {
		_ = e.w.control.SetWriteDeadline(time.Now().Add(bodyIdle)) // for what is buffered
	}
	switch {
	case e.w.slow():
		e.server.refuse(slowReader, e.subject(), fmt.Sprintf("%d bytes were sent", e.w.wrote))
		entry.Result, entry.Ended = access.ClientReset, string(slowReader)
	case entry.Result != "":
	case aborted && (e.w.err != nil || e.r.Context().Err() != nil):
		entry.Result, entry.Ended = access.ClientReset, "client"
	case aborted:
		entry.Result, entry.Ended = access.Reset, "backend"
		e.server.refuse(backendFailed, e.subject(), "the answer ended early")
	default:
		entry.Result = access.OK
	}
	entry.HTTP.Status = e.w.status
	entry.Write(e.server.access)
	m, name := e.server.metrics, entry.HTTP.Route
	m.requests.WithLabelValues(name, strconv.Itoa(e.w.status)).Inc()
	m.duration.WithLabelValues(name).Observe(time.Since(e.began).Seconds())
}

// malformed is called with each connection whose request net/http's server answers by itself.
func (s *Server) malformed(f *front, v *h1.Violation) {
	s.refuse(malformed, fmt.Sprintf("port %d", f.port.number), v.Error())
	if v.InBody { // its request has a line of its own
		return
	}
	entry := access.Entry{
		Started: time.Now(), Direction: access.Entering, Caller: f.RemoteAddr().String(), Port: f.port.number,
		Result: access.Refused, Ended: string(malformed), Err: v, HTTP: &access.HTTP{Status: v.Status()},
	}
	entry.Write(s.access)
	s.metrics.requests.WithLabelValues("", strconv.Itoa(v.Status())).Inc()
}
