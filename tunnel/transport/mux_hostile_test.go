package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
)

// hostile writes frames by hand.
type hostile struct {
	t    *testing.T
	conn net.Conn
	m    *mux // the other side
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	ca, cb := net.Pipe()
	h := &hostile{t: t, conn: ca, m: onPipe(cb, false)}
	go func() { _, _ = io.Copy(io.Discard, ca) }()
	t.Cleanup(func() {
		_ = ca.Close()
		h.m.close()
	})
	return h
}

// send returns whether the other side still reads.
func (h *hostile) send(f frame, body []byte) bool {
	_, err := h.conn.Write(append(f.append(nil), body...))
	return err == nil
}

// held is what the mux keeps in memory for streams.
func (m *mux) held() (size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.streams {
		for _, c := range s.chunks {
			size += cap(c.data)
		}
	}
	return size
}

// TestMuxAbandoned: a peer that goes on writing to streams that were given up pins no memory, and loses its
// connection when it writes more than their windows.
func TestMuxAbandoned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHostile(t)
		const streams = 64
		var ours []*muxStream
		for i := range uint32(streams) {
			id := 2*i + 1
			h.send(frame{kind: frameWindow, flags: flagSYN, stream: id}, nil)
			s, err := h.m.accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ours = append(ours, s)
			h.send(frame{kind: frameData, stream: id, length: 100_000}, make([]byte, 100_000))
		}
		synctest.Wait()
		if held := h.m.held(); held < streams*100_000 || held > 2*streams*100_000 {
			t.Fatalf("%d bytes are held for %d", held, streams*100_000)
		}
		for _, s := range ours {
			s.Abort(false)
		}
		for i := range uint32(streams) {
			h.send(frame{kind: frameData, stream: 2*i + 1, length: 100_000}, make([]byte, 100_000))
		}
		synctest.Wait()
		if held := h.m.held(); held != 0 || h.m.granted != 0 {
			t.Errorf("%d bytes are held, %d are granted for streams that were given up", held, h.m.granted)
		}
		if h.m.ended() != nil {
			t.Fatal("ended before the windows were used up")
		}
		for h.send(frame{kind: frameData, stream: 1, length: 100_000}, make([]byte, 100_000)) {
		}
		<-h.m.done
		mustMeet(t, h.m, LimitWindow, 1)
	})
}

// TestMuxSmallFrames: a window of one-byte frames takes about as much memory as it has bytes.
func TestMuxSmallFrames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHostile(t)
		h.send(frame{kind: frameWindow, flags: flagSYN, stream: 1}, nil)
		const n = 50_000
		for range n {
			h.send(frame{kind: frameData, stream: 1, length: 1}, []byte{1})
		}
		synctest.Wait()
		if held := h.m.held(); held > 2*n {
			t.Errorf("%d bytes are held for %d", held, n)
		}
	})
}

// TestMuxGrants: all streams of a session together may hold a bounded amount.
func TestMuxGrants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := muxPair(t)
		a.window = func() int { return farWindow }
		for range MaxStreams {
			a.unacked = 0
			if _, err := a.open(); err != nil {
				t.Fatal(err)
			}
		}
		if a.granted > maxGranted {
			t.Errorf("%d bytes are granted", a.granted)
		}
		mustMeet(t, a, LimitBuffer, MaxStreams/2)
	})
}

// TestMuxRefuses: what breaks the protocol ends the connection.
func TestMuxRefuses(t *testing.T) {
	t.Parallel()
	syn := frame{kind: frameWindow, flags: flagSYN, stream: 1}
	for name, frames := range map[string][]frame{
		"a ping":               {{kind: framePing, flags: flagSYN}},
		"an unknown type":      {{kind: 7}},
		"a goaway":             {{kind: frameGoAway, length: 1}},
		"one of our streams":   {{kind: frameWindow, flags: flagSYN, stream: 2}},
		"stream 0":             {{kind: frameWindow, flags: flagSYN}},
		"a stream twice":       {syn, syn},
		"more than the window": {syn, {kind: frameData, stream: 1, length: initialWindow + 1}},
		"a huge window":        {syn, {kind: frameWindow, stream: 1, length: 1<<32 - 1}},
		"a huge body":          {{kind: frameData, stream: 9, length: 1<<32 - 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHostile(t)
				for _, f := range frames {
					h.send(f, nil)
				}
				<-h.m.done
				if err := h.m.ended(); err == nil || errors.Is(err, io.EOF) {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

// TestMuxBacklog: streams that are not accepted are refused, and a peer that does not read that loses its connection.
func TestMuxBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca, cb := net.Pipe()
		m := onPipe(cb, false)
		defer m.close()
		defer ca.Close()
		id := uint32(1)
		for ; ; id += 2 {
			f := frame{kind: frameWindow, flags: flagSYN, stream: id}
			if _, err := ca.Write(f.append(nil)); err != nil {
				break
			}
		}
		if n := int(id / 2); n < AcceptBacklog || n > AcceptBacklog+2*maxRefused {
			t.Errorf("ended after %d streams", n)
		}
		mustMeet(t, m, LimitBacklog, maxRefused)
		mustMeet(t, m, LimitRefusals, 1)
	})
}

// mustMeet checks that a limit was met at least that often.
func mustMeet(t *testing.T, m *mux, l Limit, least uint64) {
	t.Helper()
	if met := m.limits(); met[l] < least {
		t.Errorf("limits met: %v, want %q at least %d times", met, l, least)
	}
}

// TestMuxRefused: a stream that the peer refuses, and one that is not opened because the peer accepts none, are counted.
func TestMuxRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHostile(t) // never accepts
		for range AcceptBacklog {
			if _, err := h.m.open(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.m.open(); err == nil {
			t.Error("opened beyond the backlog")
		}
		mustMeet(t, h.m, LimitPeer, 1)
		h.send(frame{kind: frameWindow, flags: flagRST, stream: 2}, nil)
		synctest.Wait()
		mustMeet(t, h.m, LimitPeer, 2)
	})
}

// FuzzMux feeds a mux with whatever a peer may send: what it holds is bounded, and it ends.
func FuzzMux(f *testing.F) {
	f.Add(append(frame{kind: frameWindow, flags: flagSYN, stream: 1}.append(nil), frame{kind: frameData, stream: 1, length: 2}.append(nil)...))
	f.Add(frame{kind: framePing}.append(nil))
	f.Add(append(frame{kind: frameData, flags: flagSYN | flagFIN, stream: 3, length: 3}.append(nil), 'a', 'b', 'c'))
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := &input{r: bytes.NewReader(b)}
		m := newMux(conn, func() {}, func() int { return muxWindow }, false)
		<-m.done
		m.wg.Wait()
		if m.count() != 0 || len(m.accepted) != 0 {
			t.Errorf("%d streams are left", m.count())
		}
	})
}

type input struct{ r io.Reader }

func (i *input) Read(p []byte) (int, error)  { return i.r.Read(p) }
func (i *input) Write(p []byte) (int, error) { return len(p), nil }

// FuzzFrame: a header that is read is written as it was.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != frameHeader {
			return
		}
		fr, err := parseFrame((*[frameHeader]byte)(b))
		if err != nil {
			return
		}
		if got := fr.append(nil); !bytes.Equal(got, b) || binary.BigEndian.Uint32(b[8:]) != fr.length {
			t.Errorf("%x is written as %x", b, got)
		}
	})
}

// TestReviewFinWithBody: a data frame may carry FIN (yamux' spec.md); its body comes before the end.
func TestMuxFinBehindTheBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHostile(t)
		h.send(frame{kind: frameData, flags: flagSYN | flagFIN, stream: 1, length: 3}, []byte("abc"))
		s, err := h.m.accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(s); string(got) != "abc" || err != nil {
			t.Errorf("read %q, %v: the body is lost and the end looks clean", got, err)
		}
	})
}
