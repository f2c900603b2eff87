package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen; it fails a test and times nothing.
const patience = time.Minute

// rig is a client and a server joined by a relay.
type rig struct {
	client, server *net.TCPConn
	stop           context.CancelFunc
	result         <-chan Result
}

func watcher(t *testing.T) *Watch {
	t.Helper()
	w, err := NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	return w
}

func pair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	theirs, err = net.DialTCP("tcp4", nil, ln.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	if ours, err = ln.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*net.TCPConn{ours, theirs} {
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Time{})
	}
	_ = theirs.SetDeadline(time.Now().Add(patience))
	return ours, theirs
}

func newRig(t *testing.T, w *Watch, head func() Head) *rig {
	t.Helper()
	a, client := pair(t)
	b, server := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan Result, 1)
	ea, err := NewTCP(a, w)
	if err != nil {
		t.Fatal(err)
	}
	eb, err := NewTCP(b, w)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		result <- Run(ctx, ea, eb, head, 0)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return &rig{client: client, server: server, stop: cancel, result: result}
}

func (r *rig) wait(t *testing.T) Result {
	t.Helper()
	select {
	case res := <-r.result:
		return res
	case <-time.After(patience):
		t.Fatal("the relay did not end")
		return Result{}
	}
}

func mustWrite(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

// mustReset reads until the end, which must be a reset, and returns what came before it.
func mustReset(t *testing.T, c net.Conn) []byte {
	t.Helper()
	got, err := io.ReadAll(c)
	if !wasReset(err) {
		t.Fatalf("read %d bytes, then %v; want a reset", len(got), err)
	}
	return got
}

// mustResetWhileWriting is for an end on which the test writes at the same time: a write may take the socket's
// error, and the socket's state shows it then, because its write side was not shut down.
func mustResetWhileWriting(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, c)
	if !wasReset(err) && (err != nil || !socketClosed(raw)) {
		t.Fatalf("read %d bytes, then %v; want a reset", n, err)
	}
}

// wasReset: a plain net.Conn may give the poller's error.
func wasReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) || isUnpollable(err) }

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func TestHalfCloseBothWays(t *testing.T) {
	t.Parallel()
	w := watcher(t)
	for _, clientFirst := range []bool{true, false} {
		r := newRig(t, w, nil)
		first, second := r.client, r.server
		if !clientFirst {
			first, second = second, first
		}
		mustWrite(t, first, "question")
		_ = first.CloseWrite()
		if got, err := io.ReadAll(second); err != nil || string(got) != "question" {
			t.Fatalf("got %q, %v", got, err)
		}
		mustWrite(t, second, "answer after the other side's end")
		_ = second.CloseWrite()
		if got, err := io.ReadAll(first); err != nil || string(got) != "answer after the other side's end" {
			t.Fatalf("got %q, %v", got, err)
		}
		res, by := r.wait(t), Client
		if !clientFirst {
			by = Server
		}
		if res.How != Closed || res.By != by || res.Up+res.Down != int64(len("questionanswer after the other side's end")) {
			t.Errorf("result %+v", res)
		}
	}
}

func TestServerSpeaksFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, watcher(t), nil)
	mustWrite(t, r.server, "220 ready\r\n")
	mustRead(t, r.client, "220 ready\r\n")
	mustWrite(t, r.client, "QUIT\r\n")
	mustRead(t, r.server, "QUIT\r\n")
}

// TestResetArrivesAsReset is the heart: 100 of 100 at each moment, from each side.
func TestResetArrivesAsReset(t *testing.T) {
	t.Parallel()
	const times = 100
	for name, prepare := range map[string]func(t *testing.T, from, to *net.TCPConn){
		"before data": func(*testing.T, *net.TCPConn, *net.TCPConn) {},
		"after data": func(t *testing.T, from, to *net.TCPConn) {
			t.Helper()
			mustWrite(t, from, "hello")
			mustRead(t, to, "hello")
			mustWrite(t, to, "world")
			mustRead(t, from, "world")
		},
		"during data": func(_ *testing.T, from, to *net.TCPConn) {
			go func() { _, _ = io.Copy(from, endless{}) }()
			_, _ = io.CopyN(io.Discard, to, 300<<10)
		},
		"with unread data from the other side": func(t *testing.T, from, to *net.TCPConn) {
			t.Helper()
			mustWrite(t, to, "you will not read this")
			mustWrite(t, from, "x")
			mustRead(t, to, "x")
		},
		"after its own half-close": func(t *testing.T, from, to *net.TCPConn) {
			t.Helper()
			mustWrite(t, from, "request")
			_ = from.CloseWrite()
			mustRead(t, to, "request")
		},
		"after the other side's half-close": func(t *testing.T, from, to *net.TCPConn) {
			t.Helper()
			_ = to.CloseWrite()
			if got, err := io.ReadAll(from); err != nil || len(got) != 0 {
				t.Fatalf("got %q, %v", got, err)
			}
		},
		"both busy": func(_ *testing.T, from, to *net.TCPConn) {
			go func() { _, _ = io.Copy(from, endless{}) }()
			go func() { _, _ = io.Copy(to, endless{}) }()
			_, _ = io.CopyN(io.Discard, to, 100<<10)
			_, _ = io.CopyN(io.Discard, from, 100<<10)
		},
	} {
		for _, side := range []Side{Client, Server} {
			t.Run(fmt.Sprintf("%s/%s", side, name), func(t *testing.T) {
				t.Parallel()
				w := watcher(t)
				for range times {
					r := newRig(t, w, nil)
					from, to := r.client, r.server
					if side == Server {
						from, to = to, from
					}
					prepare(t, from, to)
					reset(from)
					switch name {
					case "after its own half-close":
						mustBreak(t, to)
					case "both busy":
						mustResetWhileWriting(t, to)
					default:
						mustReset(t, to)
					}
					if res := r.wait(t); res.How != Reset {
						t.Fatalf("result %v %+v", res, res)
					}
				}
			})
		}
	}
}

// mustBreak: a side that has read a clean end learns of a reset by a write that fails, or by an error on reading.
func mustBreak(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
		if socketClosed(raw) {
			return
		}
	}
	t.Fatal("the reset did not arrive")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestResetWithoutReader: both directions are blocked on full windows; only the watch can notice.
func TestResetWithoutReader(t *testing.T) {
	t.Parallel()
	w := watcher(t)
	for _, side := range []Side{Client, Server} {
		r := newRig(t, w, nil)
		from, to := r.client, r.server
		if side == Server {
			from, to = to, from
		}
		fill(t, from)
		reset(from)
		res := r.wait(t)
		if res.How != Reset || res.By != side {
			t.Errorf("%v: result %v %+v", side, res, res)
		}
		mustReset(t, to)
	}
}

// fill writes until nothing goes out any more.
func fill(t *testing.T, c *net.TCPConn) {
	t.Helper()
	b := make([]byte, 64<<10)
	for {
		_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Write(b); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			_ = c.SetWriteDeadline(time.Time{})
			return
		}
	}
}

// TestAnswerBeforeResetArrives: a server that answers and resets because it did not read all of the request.
func TestAnswerBeforeResetArrives(t *testing.T) {
	t.Parallel()
	w := watcher(t)
	answer := bytes.Repeat([]byte("413 too large "), 8<<10)
	for range 50 {
		r := newRig(t, w, nil)
		mustWrite(t, r.client, "a request, of which the server reads nothing")
		if _, err := r.server.Write(answer); err != nil {
			t.Fatal(err)
		}
		// Let the request arrive: closing with unread bytes is a reset.
		raw, _ := r.server.SyscallConn()
		_ = raw.Read(func(fd uintptr) bool {
			n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
			return n > 0 || err != syscall.EAGAIN
		})
		_ = r.server.Close()
		if got := mustReset(t, r.client); !bytes.Equal(got, answer) {
			t.Fatalf("got %d of %d bytes of the answer", len(got), len(answer))
		}
		r.wait(t)
	}
}

func TestWriterThatStops(t *testing.T) {
	t.Parallel()
	r := newRig(t, watcher(t), nil)
	mustWrite(t, r.client, "half a requ")
	mustRead(t, r.server, "half a requ")
	r.stop()
	mustReset(t, r.client)
	mustReset(t, r.server)
	if res := r.wait(t); res.How != Stopped || !errors.Is(res.Err, context.Canceled) {
		t.Errorf("result %+v", res)
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	r := newRig(t, watcher(t), nil)
	sent, written := sha256.New(), make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.CopyN(io.MultiWriter(r.client, sent), rand.NewChaCha8([32]byte{1}), size)
		_ = r.client.CloseWrite()
	}()
	received := sha256.New()
	n, err := io.Copy(received, r.server)
	if err != nil || n != size {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	<-written
	if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Error("checksum differs")
	}
	_ = r.server.Close()
	if res := r.wait(t); res.Up != size || res.How != Closed {
		t.Errorf("result %+v", res)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	w := watcher(t)
	r := newRig(t, w, func() Head { return Head{Rest: []byte("head,")} })
	mustWrite(t, r.client, "tail")
	mustRead(t, r.server, "head,tail")

	ended := newRig(t, w, func() Head { return Head{Rest: []byte("all"), Ended: true} })
	if got, err := io.ReadAll(ended.server); err != nil || string(got) != "all" {
		t.Errorf("got %q, %v", got, err)
	}

	told := newRig(t, w, func() Head { return Head{Ended: true, Passed: true} })
	mustWrite(t, told.server, "the answer still comes")
	mustRead(t, told.client, "the answer still comes")

	broken := newRig(t, w, func() Head { return Head{Rest: []byte("some"), Err: syscall.ECONNRESET} })
	if got := mustReset(t, broken.server); string(got) != "some" {
		t.Errorf("got %q", got)
	}
}

func TestInterruptLosesNothing(t *testing.T) {
	t.Parallel()
	a, client := pair(t)
	end, err := NewTCP(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer end.Abort("")
	go func() { _, _ = client.Write(bytes.Repeat([]byte{'x'}, 10000)) }()
	got, b := 0, make([]byte, 7)
	for i := 0; got < 10000; i++ {
		if i%3 == 0 {
			end.Interrupt()
		}
		n, err := end.Read(b)
		got += n
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		end.Resume()
	}
}
