package http

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/eastway/eastway/failover/access"
)

// upgrade carries a connection that both sides have switched to another protocol, until both directions have ended or one breaks.
func (e *exchange) upgrade(t *try) {
	server, ok := t.resp.Body.(io.ReadWriteCloser)
	if !ok {
		e.cutOff(t, fmt.Errorf("failover: switch protocols with %s: %w", t.up.at, errors.ErrUnsupported)) // not reached
	}
	if e.front.strict != nil {
		e.front.strict.Passthrough()
	}
	conn, buffered, err := http.NewResponseController(e.w).Hijack()
	if err != nil {
		e.cutOff(t, fmt.Errorf("failover: switch protocols with %s: %w", e.entry.Caller, err))
	}
	defer func() { _ = conn.Close() }()
	err = switched(buffered.Writer, t.resp)
	if err == nil {
		err = e.carry(conn, buffered.Reader, server, t.up.wire)
	}
	e.entry.Result, e.entry.Ended = access.OK, "closed"
	if err != nil {
		e.entry.Err = err
		e.entry.Result, e.entry.Ended = access.Reset, "reset"
		e.front.reset()
	}
	_ = server.Close()
	e.settle(t, true)
	t.cancel()
}

// switched passes the head of the answer on that switches protocols.
func switched(w *bufio.Writer, resp *http.Response) error {
	to := resp.Header.Get("Upgrade")
	h := resp.Header.Clone()
	removeHopByHop(h)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", to)
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %s\r\n", resp.Status)
	_ = h.Write(w)
	_, _ = w.WriteString("\r\n")
	return w.Flush()
}

// carry copies both ways; each end that comes clean is passed on by itself.
func (e *exchange) carry(client net.Conn, fromClient io.Reader, server io.ReadWriteCloser, wire *wire) error {
	var up, down atomic.Int64
	var first error
	var once sync.Once
	broken := func(err error) {
		once.Do(func() { first = err })
		e.front.reset()
		_ = client.Close()
		_ = server.Close()
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		n, err := io.Copy(server, fromClient)
		up.Store(n)
		if err == nil {
			err = wire.CloseWrite()
		}
		if err != nil {
			broken(err)
		}
	})
	n, err := io.Copy(client, server)
	down.Store(n)
	if err == nil {
		err = e.front.CloseWrite()
	}
	if err != nil {
		broken(err)
	}
	wg.Wait()
	e.entry.Up, e.entry.Down = up.Load(), down.Load()
	return first
}
