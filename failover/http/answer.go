package http

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/http/conn"
)

// reasonHeader says why an answer comes from Eastway and not from an endpoint.
const reasonHeader = "X-Eastway-Reason"

// reasonOverflow: the policy's connectionPool, or a limit for peers, allows no more; reasonShare: of this caller; reasonCapacity: nothing has room.
const reasonOverflow, reasonShare, reasonCapacity = "overflow", "caller-share", "capacity"

// fail answers in place of an endpoint. For gRPC it is an answer without messages that has HTTP status 200; the access log and the
// metrics have the status that it stands for.
func (e *exchange) fail(status int, result, reason string) {
	e.entry.Result, e.entry.Ended, e.entry.HTTP.Status = result, reason, status
	if e.closes() {
		e.w.Header().Set("Connection", "close")
	}
	e.w.Header().Set(reasonHeader, reason)
	reportTo(&e.front.from, e.w.Header(), e.last, e.entry.Started, reason)
	if isGRPC(e.r.Header) && (status >= http.StatusInternalServerError || status == http.StatusTooManyRequests) {
		e.w.Header().Set("Content-Type", "application/grpc")
		e.w.Header().Set("Grpc-Status", strconv.Itoa(grpcStatusFor(status)))
		e.w.Header().Set("Grpc-Message", "eastway: "+reason)
		e.head(http.StatusOK)
		return
	}
	if slices.Contains([]string{reasonOverflow, reasonShare, reasonRateLimit, reasonCapacity}, reason) { // it costs as little as it can
		e.w.Header()["Content-Type"] = nil
		e.w.Header().Set("Content-Length", "0")
		e.head(status)
		return
	}
	e.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	e.head(status)
	_, _ = io.WriteString(e.w, "eastway: "+reason+"\n")
}

// answer passes an endpoint's answer on.
func (e *exchange) answer(t *try) {
	e.answeredBy(t)
	setCookie(t.resp.Header, e.cookie)
	switch {
	case e.switches(t.resp):
		e.upgrade(t)
		return
	case t.resp.StatusCode < 200 || t.resp.StatusCode > 999: // no final answer, or a switch that the client has not requested
		e.badAnswer(t)
		return
	}
	e.entry.HTTP.Status = t.resp.StatusCode
	if e.body != nil {
		e.body.passed()
	}
	h := e.w.Header()
	maps.Copy(h, t.resp.Header)
	conn.RemoveHopByHop(h)
	for _, name := range []string{"Date", "Content-Type"} {
		if _, ok := h[name]; !ok {
			h[name] = nil // net/http would add one
		}
	}
	if e.closes() {
		h.Set("Connection", "close")
	}
	reportTo(&e.front.from, h, t, e.entry.Started, "")
	announced := make([]string, 0, len(t.resp.Trailer))
	for name := range t.resp.Trailer {
		announced = append(announced, name)
	}
	if len(announced) > 0 {
		h.Set("Trailer", strings.Join(announced, ", "))
	}
	e.head(t.resp.StatusCode)
	err := e.copyBody(t)
	if err != nil {
		e.cutOff(t, err)
	}
	e.entry.HTTP.Judged = statusOf(t.resp)
	for name, values := range t.resp.Trailer {
		if !slices.Contains(announced, name) { // the head has nothing of it
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
	e.entry.Result, e.entry.Ended = access.OK, endEndpoint+" answered"
	if t.byPeer && t.report.endpoint == "" {
		e.entry.Result, e.entry.Ended = byProxy(t.resp.Header.Get(reasonHeader))
	}
	e.end(t, true)
}

// byProxy is the result, and what ended the request, where the proxy of a peer answered in place of an endpoint.
func byProxy(reason string) (result, ended string) {
	switch reason {
	case reasonRateLimit:
		return access.RateLimited, reason
	case reasonOverflow, reasonShare, reasonCapacity:
		return access.Limit, reason
	}
	return access.Error, access.Clip(cmp.Or(reason, "peer answered"))
}

// closes is true when the connection has to end with the answer.
func (e *exchange) closes() bool {
	return e.front.opaque() || e.early() || e.front.from.peer != "" && e.r.ProtoMajor == 1 && e.draining.Load()
}

// switches is true for an answer that switches to the protocol that the client has requested.
func (e *exchange) switches(resp *http.Response) bool {
	to := upgradeOf(e.out.Header)
	return resp.StatusCode == http.StatusSwitchingProtocols && to != "" && strings.EqualFold(upgradeOf(resp.Header), to)
}

// badAnswer answers in place of an endpoint whose answer is none to the request.
func (e *exchange) badAnswer(t *try) {
	t.blame.Failure = balance.BrokenAnswer
	e.entry.Err = fmt.Errorf("failover: %s answers with status %d, which the request does not allow", t.up.at, t.resp.StatusCode)
	e.end(t, false)
	e.fail(http.StatusBadGateway, access.Error, "bad-answer")
}

// early is true when the answer begins before the request's body has ended. HTTP/1 allows that, but net/http's server does it only in
// full duplex, and cannot keep the connection then.
func (e *exchange) early() bool {
	if e.body == nil || e.body.complete() || e.r.ProtoMajor > 1 {
		return false
	}
	_ = http.NewResponseController(e.w).EnableFullDuplex()
	return true
}

// The names of an exchange's ends in the access log.
const (
	endClient   = "client"
	endEndpoint = "endpoint"
)

// errClient is a failure of the client's side while an answer is passed on.
var errClient = errors.New("the client is gone")

// copyBody passes the body on as it comes; each part leaves at once.
func (e *exchange) copyBody(t *try) error {
	if t.opening.buf == nil {
		t.opening.buf, _ = e.buffers.Get().(*[]byte)
	}
	flush := http.NewResponseController(e.w)
	if t.resp.ContentLength < 0 { // the first part may be a long time in coming
		if err := flush.Flush(); err != nil {
			return errors.Join(errClient, err)
		}
	}
	for {
		part, err := t.opening.read(t.resp.Body)
		if len(part) > 0 {
			if _, werr := e.w.Write(part); werr != nil {
				return errors.Join(errClient, werr)
			}
			e.entry.Down += int64(len(part))
			if err == nil {
				if ferr := flush.Flush(); ferr != nil {
					return errors.Join(errClient, ferr)
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// cutOff ends an answer so that the client sees that it is not whole.
func (e *exchange) cutOff(t *try, err error) {
	e.entry.Err = err
	e.entry.Result, e.entry.Ended = access.Reset, endEndpoint+" reset"
	if e.times.over() {
		e.entry.Result, e.entry.Ended = access.Timeout, "timeout"
	}
	if errors.Is(err, errClient) || e.r.Context().Err() != nil {
		e.entry.Result, e.entry.Ended = access.ClientReset, "client reset"
	}
	t.spared = errors.Is(err, errClient)
	e.end(t, false)
	panic(http.ErrAbortHandler)
}

// counted counts a body's bytes. A try that is over may still read when the request has ended.
type counted struct {
	io.ReadCloser
	n     *atomic.Int64
	waits func(begins bool)
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	c.waits(true)
	n, err := c.ReadCloser.Read(p)
	c.waits(false)
	c.n.Add(int64(n))
	return n, err
}
