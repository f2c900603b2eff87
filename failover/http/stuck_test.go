package http

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	wire2 "golang.org/x/net/http2"

	"github.com/eastway/eastway/failover/balance"
)

// readCount counts what is read.
type readCount struct {
	r io.Reader
	n atomic.Int64
}

func (c *readCount) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// TestWriteUnderWayIsNotUnsent: the header of a request of HTTP/2 is stuck in a write when the time for the try is over: net/http
// returns at once, and the endpoint gets the whole header later.
func TestWriteUnderWayIsNotUnsent(t *testing.T) {
	t.Parallel()
	one, endpoint := net.Pipe() // a write waits for its reader
	w := &wire{Conn: one}
	read := &readCount{r: endpoint}
	fr := wire2.NewFramer(endpoint, read)
	greeted := make(chan error, 1)
	go func() {
		_, err := read.Read(make([]byte, len(wire2.ClientPreface)))
		for range 2 { // SETTINGS, WINDOW_UPDATE
			_, e := fr.ReadFrame()
			err = errors.Join(err, e)
		}
		greeted <- errors.Join(err, fr.WriteSettings())
		_, _ = fr.ReadFrame() // the acknowledgement
		greeted <- nil
	}()
	client, err := newTransport(endpointWindow).NewClientConn(context.WithValue(t.Context(), wireKey{}, w), "http", "endpoint:80")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-greeted; err != nil {
			t.Fatal(err)
		}
	}
	for tick := time.NewTicker(time.Millisecond); w.written.Load() < read.n.Load(); { // a write is counted when it returns
		<-tick.C
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(300*time.Millisecond, func() { cancel(errTryTimeout) })
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://endpoint/", nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := w.written.Load()
	try := &try{up: &upstream{target: target{h2: true}, wire: w, client: http2Conn{client}}}
	try.resp, try.err = client.RoundTrip(req) //nolint:bodyclose // there is none
	try.cause = context.Cause(ctx)
	o := try.judge(&balance.RequestsOf(nil).Retries, sent)
	f, err := fr.ReadFrame()
	if h, ok := f.(*wire2.HeadersFrame); !ok || !h.StreamEnded() {
		t.Fatalf("%v %v", f, err)
	}
	if o != timedOut {
		t.Errorf("%v, and the endpoint has the request", o)
	}
	_ = endpoint.Close()
	_ = one.Close()
}
