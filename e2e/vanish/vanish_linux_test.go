package vanish

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/e2e/wan/link"
	"github.com/eastway/eastway/e2e/wan/netns"
	"github.com/eastway/eastway/internal/need"
	"github.com/eastway/eastway/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience is how long a test waits for what must happen.
	patience = 30 * time.Second
	// soonest and latest are when a connection to a vanished host ends: a minute after its last sign of life, plus the
	// interval between two looks and what a busy machine adds.
	soonest = 50 * time.Second
	latest  = 90 * time.Second
	// held is how long a reader keeps its window closed; a timeout on unacknowledged data would have ended it long before.
	held = 150 * time.Second
)

// line joins two namespaces: near, where the relay is, and far.
type line struct {
	t         *testing.T
	link      *link.Link
	near, far *netns.Namespace
	watch     *relay.Watch
}

func newLine(t *testing.T) *line {
	t.Helper()
	need.Support(t, link.Supported())
	l := &line{t: t, near: namespace(t, "near"), far: namespace(t, "far")}
	var err error
	l.link, err = link.Open(link.Config{
		A: link.End{Namespace: l.near.Name(), Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/30")}},
		B: link.End{Namespace: l.far.Name(), Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/30")}},
	})
	must(t, err)
	l.watch, err = relay.NewWatch()
	must(t, err)
	run(t, l.watch.Run)
	t.Cleanup(func() { must(t, l.link.Close()) })
	run(t, l.link.Run)
	return l
}

func namespace(t *testing.T, label string) *netns.Namespace {
	t.Helper()
	ns, err := netns.Create(strings.ReplaceAll(t.Name(), "/", "-") + "-" + label)
	must(t, err)
	t.Cleanup(func() { must(t, ns.Close()) })
	return ns
}

// run runs until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-ended)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// pair connects the relay in the near namespace to a program in one of the two.
func (l *line) pair(program *netns.Namespace, at string) (relays, programs *net.TCPConn) {
	l.t.Helper()
	var ln *net.TCPListener
	err := program.Do(func() (err error) {
		ln, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at)))
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	defer ln.Close()
	if err := l.near.Do(func() (err error) {
		relays, err = net.DialTCP("tcp4", nil, ln.Addr().(*net.TCPAddr))
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	if programs, err = ln.AcceptTCP(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = programs.Close() })
	return relays, programs
}

// relayed is a connection through a relay between a program that stays and one in the far namespace.
func (l *line) relayed(farIsClient bool) (stays, far *net.TCPConn, result <-chan relay.Result) {
	l.t.Helper()
	nearEnd, stays := l.pair(l.near, "127.0.0.1:0")
	farEnd, far := l.pair(l.far, "192.0.2.2:0")
	client, err := relay.NewTCP(nearEnd, l.watch)
	must(l.t, err)
	server, err := relay.NewTCP(farEnd, l.watch)
	must(l.t, err)
	if farIsClient {
		client, server = server, client
	}
	ended := make(chan relay.Result, 1)
	run(l.t, func(ctx context.Context) error {
		ended <- relay.Run(ctx, client, server, nil, 0)
		return nil
	})
	return stays, far, ended
}

func exchange(t *testing.T, from, to *net.TCPConn) {
	t.Helper()
	must(t, from.SetDeadline(time.Now().Add(patience)))
	must(t, to.SetDeadline(time.Now().Add(patience)))
	if _, err := io.WriteString(from, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	must(t, from.SetDeadline(time.Time{}))
	must(t, to.SetDeadline(time.Time{}))
}

// TestVanishedHost: the host of one program is cut off while data for it is on the way. The other program sees a reset about a
// minute later, not after the quarter of an hour for which the kernel retransmits.
func TestVanishedHost(t *testing.T) {
	t.Parallel()
	for name, farIsClient := range map[string]bool{"of the endpoint": false, "of the caller": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t)
			stays, far, result := l.relayed(farIsClient)
			exchange(t, stays, far)
			exchange(t, far, stays)
			for _, d := range []link.Direction{link.AtoB, link.BtoA} {
				must(t, l.link.Set(d, link.Settings{Silent: true}))
			}
			began := time.Now()
			_, err := io.WriteString(stays, "lost")
			must(t, err)
			must(t, stays.SetReadDeadline(began.Add(2*latest)))
			if n, err := stays.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read %d bytes, %v, want a reset", n, err)
			}
			took := time.Since(began)
			if took < soonest || took > latest {
				t.Errorf("it ended after %v, want %v to %v", took, soonest, latest)
			}
			by := relay.Server
			if farIsClient {
				by = relay.Client
			}
			if res := <-result; res.How != relay.Broken || res.By != by {
				t.Errorf("%v, %v", res, res.Err)
			}
			t.Logf("ended after %v", took)
		})
	}
}

// TestClosedWindow: a program that stops reading for long is alive; nothing is lost.
func TestClosedWindow(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	writer, reader, result := l.relayed(false)
	exchange(t, writer, reader)
	must(t, reader.SetReadBuffer(4<<10))
	sent := make(chan int, 1)
	go func() {
		n := 0
		for chunk := make([]byte, 64<<10); n < 16<<20; { // more than all buffers hold
			k, err := writer.Write(chunk)
			n += k
			if err != nil {
				t.Errorf("after %d bytes: %v", n, err)
				break
			}
		}
		must(t, writer.CloseWrite())
		sent <- n
	}()
	select {
	case res := <-result:
		t.Fatalf("it was ended: %v, %v", res, res.Err)
	case <-time.After(held):
	}
	must(t, reader.SetReadBuffer(1<<20)) // what is left comes faster
	must(t, reader.SetReadDeadline(time.Now().Add(5*patience)))
	got, err := io.Copy(io.Discard, reader)
	if want := <-sent; err != nil || int(got) != want {
		t.Errorf("read %d of %d bytes, %v", got, want, err)
	}
}
