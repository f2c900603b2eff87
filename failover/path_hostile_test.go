package failover_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// TestPeerThatReadsNothing: a peer answers at once and does not read the request's body. No other request waits for that.
func TestPeerThatReadsNothing(t *testing.T) {
	t.Parallel()
	onSockets(t, func(t *testing.T, over string) {
		p := newPath(t, spec{
			on: machine{}, transport: over, http: true, b: pods(newPod(t, machine{}, near, says("b"))),
			hostile: func(in *tunnel.Incoming) bool {
				if !in.Header().GetHttp() {
					return false
				}
				if s, err := in.Accept(&tunnelpb.Answer{Http: true}); err == nil {
					_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					<-in.Context().Done()
				}
				return true
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		uploaded := make(chan struct{})
		go func() {
			defer close(uploaded)
			upload(ctx, p)
		}()
		defer func() { <-uploaded }()
		defer cancel()
		await(t, "the answer has come", func() bool { return p.a.access.Len() > 0 })
		done := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			_, _, _, _ = p.send(p.client(false), "GET", "")
			done <- time.Since(began)
		}()
		select {
		case took := <-done:
			if took > 2*time.Second {
				t.Errorf("another request took %v", took)
			}
		case <-time.After(5 * time.Second):
			t.Error("another request waits for the peer")
			p.b.stopNode()
			<-done
		}
	})
}

func upload(ctx context.Context, p *path) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.service.String()+"/", io.LimitReader(zeros{}, 64<<20))
	if err != nil {
		return
	}
	if resp, err := p.client(false).Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestDrainEndsPeerThatReadsNothing: a peer has ended its side of an HTTP/2 stream and does not read the answer. A drain that is over
// resets it.
func TestDrainEndsPeerThatReadsNothing(t *testing.T) {
	t.Parallel()
	onSockets(t, func(t *testing.T, over string) {
		b := newPod(t, machine{}, near, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, zeros{}) })
		p := newPath(t, spec{on: machine{}, transport: over, http: true, b: pods(b)})
		s, err := failover.TunnelsOf(p.a.node).Open(t.Context(), "b", &tunnel.Header{
			Namespace: echoName.Namespace, Service: echoName.Name, Port: servicePort, Http: true,
		}, nil)
		must(t, err)
		defer s.Reset("done")
		_, err = io.WriteString(s, http2.ClientPreface)
		must(t, err)
		f := http2.NewFramer(s, strings.NewReader(""))
		must(t, f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}))
		must(t, f.WriteWindowUpdate(0, 1<<30))
		var head strings.Builder
		enc := hpack.NewEncoder(&head)
		for _, h := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "b"}} {
			must(t, enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
		}
		must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(head.String()), EndStream: true, EndHeaders: true}))
		await(t, "the request is under way", func() bool { return b.requests.Load() == 1 })
		must(t, s.CloseWrite())
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_ = p.b.proxy.Drain(ctx)
		}()
		select {
		case <-drained:
		case <-time.After(10 * time.Second):
			t.Errorf("the drain waits, %d connections", p.b.proxy.Active())
			s.Reset("test over")
			<-drained
		}
	})
}
