package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// yamuxFrame is a frame's header and its body.
func yamuxFrame(kind byte, flags uint16, stream, length uint32, body []byte) []byte {
	f := make([]byte, yamuxHeader, yamuxHeader+len(body))
	f[1] = kind
	binary.BigEndian.PutUint16(f[2:], flags)
	binary.BigEndian.PutUint32(f[4:], stream)
	binary.BigEndian.PutUint32(f[8:], length)
	return append(f, body...)
}

// TestYamuxPingsEndTheSession: an authenticated peer that sends yamux pings and does not read loses its connection, and
// no goroutine is left that waits to answer.
func TestYamuxPingsEndTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ln := w.listen(t, NewTCP(TCPConfig{}))
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: w.clientTLS(t)}
	raw, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(patience)) // fails the test instead of hanging it
	sess := <-ln.sessions
	var pings []byte
	const syn = 1
	for i := range uint32(1000) {
		pings = append(pings, yamuxFrame(yamuxTypePing, syn, 0, i, nil)...)
	}
	_, _ = raw.Write(pings) // it may have ended before the last of them
	<-sess.Done()
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if n := strings.Count(string(stacks), "handlePing"); n > 0 {
		t.Errorf("%d goroutines answer pings", n)
	}
	answers, _ := io.ReadAll(raw)
	for len(answers) >= yamuxHeader {
		if answers[1] == yamuxTypePing {
			t.Fatal("a ping was answered")
		}
		size := yamuxHeader
		if answers[1] == yamuxTypeData {
			size += int(binary.BigEndian.Uint32(answers[8:]))
		}
		answers = answers[min(size, len(answers)):]
	}
}

// TestYamuxPingIsRefused: frames are followed however the bytes are cut, and a ping of yamux' own ends the connection.
func TestYamuxPingIsRefused(t *testing.T) {
	t.Parallel()
	frame := func(kind byte, length uint32, body ...byte) []byte {
		return append([]byte{0, kind, 0, 0, 0, 0, 0, 1, byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}, body...)
	}
	good := slices.Concat(frame(1, 1<<30), frame(0, 5, 2, 2, 2, 2, 2), frame(0, 0), frame(3, 0))
	for size := 1; size <= len(good); size++ {
		var s yamuxScan
		for piece := range slices.Chunk(slices.Concat(good, good), size) {
			if err := s.bytes(piece); err != nil {
				t.Fatalf("pieces of %d: %v", size, err)
			}
		}
		var err error
		for piece := range slices.Chunk(frame(2, 7), size) {
			err = errors.Join(err, s.bytes(piece))
		}
		if !errors.Is(err, errYamuxPing) {
			t.Fatalf("pieces of %d: a ping passed", size)
		}
	}
}

func TestInTime(t *testing.T) {
	t.Parallel()
	if got := inTime(context.DeadlineExceeded); !strings.Contains(got.Error(), "no answer within 5s") || !errors.Is(got, context.DeadlineExceeded) {
		t.Errorf("a deadline is %v", got)
	}
	if got := inTime(net.ErrClosed); !errors.Is(got, net.ErrClosed) || got.Error() != net.ErrClosed.Error() {
		t.Errorf("another error is %v", got)
	}
}
