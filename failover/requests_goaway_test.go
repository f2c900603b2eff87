package failover

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// goingAway is an HTTP/2 endpoint that reads requests up to a number, announces with GOAWAY that it has processed the first ones only,
// answers these, and closes.
type goingAway struct {
	requests, processed int
	ln                  *net.TCPListener

	mu  sync.Mutex
	ran map[string]int // by path
}

func newGoingAway(t *testing.T, requests, processed int) *goingAway {
	t.Helper()
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(freshAddress(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	g := &goingAway{requests: requests, processed: processed, ln: ln, ran: make(map[string]int)}
	done := make(chan error, 1)
	go func() { done <- g.serve() }()
	t.Cleanup(func() {
		_ = ln.Close()
		if err := <-done; err != nil {
			t.Errorf("the endpoint that goes away: %v", err)
		}
	})
	return g
}

// serve takes one connection, and none after it.
func (g *goingAway) serve() error {
	c, err := g.ln.Accept()
	_ = g.ln.Close()
	if err != nil {
		return nil // nothing came
	}
	defer func() { _ = c.Close() }()
	if _, err := io.CopyN(io.Discard, c, int64(len(http2.ClientPreface))); err != nil {
		return err
	}
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := f.WriteSettings(); err != nil {
		return err
	}
	streams, ended := []*http2.MetaHeadersFrame(nil), 0
	for ended < g.requests {
		frame, err := f.ReadFrame()
		if err != nil {
			return fmt.Errorf("after %d requests: %w", ended, err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				if err := f.WriteSettingsAck(); err != nil {
					return err
				}
			}
		case *http2.MetaHeadersFrame:
			streams = append(streams, frame)
			if frame.StreamEnded() {
				ended++
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				ended++
			}
		}
	}
	if err := f.WriteGoAway(streams[g.processed-1].StreamID, http2.ErrCodeNo, nil); err != nil {
		return err
	}
	for _, s := range streams[:g.processed] {
		if err := g.answer(f, s); err != nil {
			return err
		}
	}
	_, _ = io.Copy(io.Discard, c) // the client closes
	return nil
}

func (g *goingAway) answer(f *http2.Framer, s *http2.MetaHeadersFrame) error {
	g.mu.Lock()
	g.ran[s.PseudoValue("path")]++
	g.mu.Unlock()
	var block bytes.Buffer
	if err := hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"}); err != nil {
		return err
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: s.StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
}

// TestGoAwayAmongStreams: what is above the last stream of a GOAWAY was not executed, and is sent elsewhere, POSTs too.
func TestGoAwayAmongStreams(t *testing.T) {
	t.Parallel()
	const requests, processed = 100, 60
	g := newGoingAway(t, requests, processed)
	var mu sync.Mutex
	ran := make(map[string]int)
	other := func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if string(b) == "order" {
			ran[r.URL.Path]++
		}
	}
	at := g.ln.Addr().(*net.TCPAddr).AddrPort()
	w := newWorld(t, overHTTP, endpoints(endpoint(at, here)), webs(beside, other))
	tr := w.h2client()
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url(fmt.Sprintf("/%d", i)), strings.NewReader("order"))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b, _ := io.ReadAll(resp.Body)
				t.Errorf("request %d: %s %q", i, resp.Status, b)
			}
		})
	}
	wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	mu.Lock()
	defer mu.Unlock()
	if len(g.ran) != processed {
		t.Errorf("the endpoint executed %d requests", len(g.ran))
	}
	for i := range requests {
		if path := fmt.Sprintf("/%d", i); g.ran[path]+ran[path] != 1 {
			t.Errorf("%s was executed %d times where it went first, %d times elsewhere", path, g.ran[path], ran[path])
		}
	}
}
