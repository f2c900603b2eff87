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
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/http/conn"
	"github.com/eastway/eastway/internal/relay"
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
	client, buffered, err := http.NewResponseController(e.w).Hijack()
	if err != nil {
		e.cutOff(t, fmt.Errorf("failover: switch protocols with %s: %w", e.entry.Caller, err))
	}
	defer func() { _ = client.Close() }()
	e.entry.HTTP.Status = t.resp.StatusCode
	err = switched(buffered.Writer, t.resp)
	if err == nil {
		err = e.carry(client, buffered.Reader, server, t.up.wire)
	}
	e.entry.Result, e.entry.Ended = access.OK, "closed"
	if err != nil {
		e.entry.Err = err
		e.entry.Result, e.entry.Ended = access.Reset, "reset"
		e.front.reset()
	}
	_ = server.Close()
	t.ended, e.current = true, nil
	e.settle(t, true)
	t.cancel(nil)
}

// switched passes the head of the answer on that switches protocols.
func switched(w *bufio.Writer, resp *http.Response) error {
	to := resp.Header.Get("Upgrade")
	h := resp.Header.Clone()
	conn.RemoveHopByHop(h)
	h.Del(outcomeHeader)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", to)
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %s\r\n", resp.Status)
	_ = h.Write(w)
	_, _ = w.WriteString("\r\n")
	return w.Flush()
}

// errHalfIdle ends an upgraded connection of which one direction has ended and the other one is silent.
var errHalfIdle = errors.New("half-closed and idle")

// carry copies both ways; each end that comes clean is passed on by itself.
func (e *exchange) carry(client net.Conn, fromClient io.Reader, server io.ReadWriteCloser, wire *wire) error {
	var up, down progress
	var first error
	var once sync.Once
	broken := func(err error) {
		once.Do(func() { first = err })
		e.front.reset()
		_ = client.Close()
		_ = server.Close()
	}
	stop := make(chan struct{})
	var wg, watching sync.WaitGroup
	watch := sync.OnceFunc(func() { watching.Go(func() { watchHalf(stop, &up, &down, broken) }) })
	wg.Go(func() {
		_, err := io.Copy(server, io.TeeReader(fromClient, &up))
		if err == nil {
			err = wire.CloseWrite()
		}
		if err != nil {
			broken(err)
		}
		watch()
	})
	_, err := io.Copy(client, io.TeeReader(server, &down))
	if err == nil {
		err = e.front.CloseWrite()
	}
	if err != nil {
		broken(err)
	}
	watch()
	wg.Wait()
	close(stop)
	watching.Wait()
	e.entry.Up, e.entry.Down = up.Load(), down.Load()
	return first
}

// progress counts the bytes of one direction.
type progress struct{ atomic.Int64 }

// Write implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	p.Add(int64(len(b)))
	return len(b), nil
}

// watchHalf calls broken when nothing moves for as long as package relay allows.
func watchHalf(stop <-chan struct{}, up, down *progress, broken func(error)) {
	tick := time.NewTicker(relay.HalfClosedIdle)
	defer tick.Stop()
	for last := int64(-1); ; {
		now := up.Load() + down.Load()
		if now == last {
			broken(errHalfIdle)
			return
		}
		last = now
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}
