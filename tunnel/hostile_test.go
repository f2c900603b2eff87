package tunnel

import (
	"runtime"
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// TestPeerThatLeftPinsNoMemory: a peer opens streams to nothing, keeps writing to them without an end, and leaves.
func TestPeerThatLeftPinsNoMemory(t *testing.T) {
	const streams, written, most = 200, 900 << 10, 64 << 20
	ca, cb := configs(t, withTransport("tcp"))
	b := startNode(t, cb)
	b.SetPeers([]Peer{{Name: "a"}})
	before := heap()
	control, lane := dialRaw(t, ca, b), dialRaw(t, ca, b)
	for i, c := range []transport.Session{control, lane} {
		h := &tunnelpb.Hello{
			Cluster: "a", Replica: "r", Role: tunnelpb.Hello_Role(i + 1), Link: []byte("0123456789abcdef"), Lane: uint32(i),
		}
		if _, _, err := sayHello(c, h); err != nil {
			t.Fatal(err)
		}
	}
	junk := make([]byte, written)
	for i := range streams {
		s, err := lane.Open()
		if err != nil {
			t.Fatal(err)
		}
		h := header()
		h.Id = uint64(i + 1)
		if err := wire.Write(s, wire.Open, h); err != nil {
			t.Fatal(err)
		}
		answer := new(tunnelpb.Answer)
		if err := wire.Read(s, wire.Answer, answer); err != nil || answer.GetCode() != tunnelpb.Answer_CODE_NOT_FOUND {
			t.Fatalf("%v, %v", answer, err)
		}
		_ = s.SetWriteDeadline(time.Now().Add(time.Second)) // the window may be smaller
		_, _ = s.Write(junk)
	}
	if after := heap(); after > before+most {
		t.Errorf("while the peer is there, its streams pin %d MiB", (after-before)>>20)
	}
	lane.Close("gone")
	control.Close("gone")
	await(t, "the link has ended", func() bool { return len(b.allLinks()) == 0 })
	if after := heap(); after > before+most {
		t.Errorf("%d MiB are pinned after the peer left", (after-before)>>20)
	}
}

// heap is what is in use after a collection, in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// TestRecentKeys: of any number of resets that came too early the newest are kept, each for one stream.
func TestRecentKeys(t *testing.T) {
	t.Parallel()
	var r recentKeys
	key := func(i int) streamKey { return streamKey{id: uint64(i)} }
	const n = 3*maxEarlyResets + 7
	for i := range n {
		r.add(key(i))
	}
	if len(r.keys) != maxEarlyResets || len(r.added) != maxEarlyResets {
		t.Errorf("%d keys, %d in the ring, want %d", len(r.keys), len(r.added), maxEarlyResets)
	}
	if r.take(key(n - maxEarlyResets - 1)) {
		t.Error("an old one is kept")
	}
	for i := n - maxEarlyResets; i < n; i++ {
		if !r.take(key(i)) || r.take(key(i)) {
			t.Errorf("key %d is not there once", i)
		}
	}
}
