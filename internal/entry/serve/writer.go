package serve

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/internal/entry/route"
)

// writer is the answer of an exchange: it edits the head, and bounds how slowly a client may read.
type writer struct {
	http.ResponseWriter

	e        *exchange
	control  *http.ResponseController
	status   int // 0: none yet
	wrote    int64
	extended time.Time
	stall    stall // of HTTP/2
	err      error
	hijacked *hijacked // nil: it is not
	call     bool      // on the wire the status is 200: that of gRPC counts
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	interim := status < http.StatusOK && status != http.StatusSwitchingProtocols
	if w.status != 0 || interim && !w.e.r.ProtoAtLeast(1, 1) { // HTTP/1.0 has none (RFC 9110, 15.2)
		return
	}
	w.begin()
	defer w.stall.end()
	if !interim {
		w.status = status
		edit(w.Header(), w.e.decision.Response)
	}
	if status >= http.StatusOK && (w.e.front.opaque() || w.e.server.draining.Load()) {
		w.Header().Set("Connection", "close")
	}
	if w.call && !interim {
		status = http.StatusOK
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.stall.end()
	w.wrote += int64(n)
	w.failed(err)
	return n, err
}

// FlushError is for http.ResponseController.
func (w *writer) FlushError() error {
	w.begin()
	err := w.control.Flush()
	w.stall.end()
	w.failed(err)
	return err
}

func (w *writer) failed(err error) {
	if err != nil && w.err == nil {
		w.err = err
	}
}

// slow is true if the client did not read.
func (w *writer) slow() bool { return errors.Is(w.err, os.ErrDeadlineExceeded) || w.stall.happened() }

func (w *writer) expire() { _ = w.control.SetWriteDeadline(time.Unix(1, 0)) }

// begin gives the client time to read what is written now. Over HTTP/1.1 the deadline counts for writes alone; it is moved once a second at the
// most. That of HTTP/2 would end a stream on which nothing is to be written.
func (w *writer) begin() {
	if w.e.r.ProtoMajor == 2 {
		w.stall.begin(bodyIdle, w.expire)
		return
	}
	if now := time.Now(); now.Sub(w.extended) > time.Second {
		w.extended = now
		_ = w.control.SetWriteDeadline(now.Add(bodyIdle))
	}
}

// Hijack implements http.Hijacker: the connection is switched to another protocol.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	f := w.e.front
	if f.strict != nil {
		f.strict.Passthrough()
	}
	_, buffered, err := w.control.Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.e.switched()
	w.status = http.StatusSwitchingProtocols
	w.hijacked = &hijacked{front: f, buffered: buffered.Reader}
	return w.hijacked, buffered, nil
}

// hijacked is a connection that was switched, with what was read of it before.
type hijacked struct {
	*front

	buffered *bufio.Reader
	up, down atomic.Int64
}

// Read implements net.Conn. Beyond what is buffered, net/http's reader would take an end of the client's side for the end of the request.
func (h *hijacked) Read(p []byte) (n int, err error) {
	if left := h.buffered.Buffered(); left > 0 {
		n, err = h.buffered.Read(p[:min(len(p), left)])
	} else {
		n, err = h.front.Read(p)
	}
	h.up.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (h *hijacked) Write(p []byte) (int, error) {
	n, err := h.front.Write(p)
	h.down.Add(int64(n))
	return n, err
}

// edit changes a message's header.
func edit(h http.Header, edits []route.Edit) {
	for _, e := range edits {
		switch e.Op {
		case route.Set:
			h.Set(e.Name, e.Value)
		case route.Add:
			h.Add(e.Name, e.Value)
		case route.Remove:
			h.Del(e.Name)
		}
	}
}
