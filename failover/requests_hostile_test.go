package failover

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// httpPeer is a peer that carries requests one by one.
func httpPeer(name string, at discovery.Locality, handle handler) setup {
	return func(w *world, c *Config) {
		w.service.Ports[0].HTTP = true
		peer(name, at, &fakePeer{handle: handle})(w, c)
	}
}

// TestPeerNeverAnswersStream: the nearer peer takes a stream and answers nothing, not even that it accepts. The request has another
// candidate.
func TestPeerNeverAnswersStream(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "2"} {
		for method, want := range map[string]string{"GET": "200 far", "POST": "503 eastway: unknown-outcome\n"} {
			t.Run(method+" HTTP/"+version, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, httpPeer("near", beside, func(in *fakeIncoming) {
					go func() { _, _ = io.Copy(io.Discard, in.local) }()
					<-in.ctx.Done()
				}), httpPeer("far", abroad, func(in *fakeIncoming) {
					s, err := in.Accept(&tunnelpb.Answer{})
					if err != nil {
						return
					}
					serveFake(in.ctx, s, says("far"))
				}), policy(&v1alpha1.TrafficPolicySpec{ConnectionPool: &v1alpha1.ConnectionPool{
					TCP: &v1alpha1.TCPSettings{ConnectTimeout: &metav1.Duration{Duration: 300 * time.Millisecond}},
				}}), func(_ *world, c *Config) { c.ConnectBudget = time.Second })
				answered := make(chan string, 1)
				go func() {
					got, _ := w.over(w.transports()[version], method, "/", nil)
					answered <- got
				}()
				select {
				case got := <-answered:
					if got != want {
						t.Errorf("%q, want %q", got, want)
					}
				case <-time.After(5 * time.Second):
					t.Error("the request waits for the peer that does not answer its stream")
					w.cancel()
					<-answered
				}
			})
		}
	}
}

// serveFake serves HTTP on one end of a fake stream.
func serveFake(ctx context.Context, s Stream, h http.HandlerFunc) {
	one, other := net.Pipe()
	ln := &oneListener{conn: one, done: make(chan struct{})}
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	defer context.AfterFunc(ctx, func() { _ = other.Close() })()
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(ln) })
	wg.Go(func() { _, _ = io.Copy(other, s); _ = other.Close() })
	_, _ = io.Copy(s, other)
	_ = s.CloseWrite()
	close(ln.done)
	_ = srv.Close()
	wg.Wait()
}

type oneListener struct {
	conn net.Conn
	done chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.done
	return nil, io.EOF
}
func (*oneListener) Close() error   { return nil }
func (*oneListener) Addr() net.Addr { return &net.TCPAddr{} }
