package tunnel

import (
	"runtime"
	"strings"
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

// TestPeerHasOneBudget: replicas of one peer that open streams, and send what the handler does not read, take no more than one
// peer's memory. All is given back when they leave.
func TestPeerHasOneBudget(t *testing.T) {
	const replicas, streams, written, budget, most = 3, 80, 200 << 10, 8 << 20, 24 << 20
	ca, cb := configs(t, withTransport("tcp"))
	release := make(chan struct{})
	cb.PeerMemory = budget
	cb.Handle = func(in *Incoming) {
		if _, err := in.Accept(new(tunnelpb.Answer)); err == nil {
			select {
			case <-release:
			case <-in.Context().Done():
			}
		}
	}
	b := startNode(t, cb)
	b.SetPeers([]Peer{{Name: "a"}})
	before := heap()
	var sessions []transport.Session
	for r := range replicas {
		replica := string(rune('p' + r))
		control, lane := dialRaw(t, ca, b), dialRaw(t, ca, b)
		sessions = append(sessions, control, lane)
		for i, c := range []transport.Session{control, lane} {
			h := &tunnelpb.Hello{
				Cluster: "a", Replica: replica, Role: tunnelpb.Hello_Role(i + 1), Link: []byte(replica + "123456789abcdef"), Lane: uint32(i),
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
			if err := wire.Read(s, wire.Answer, answer); err != nil || answer.GetCode() != tunnelpb.Answer_CODE_ACCEPTED {
				t.Fatalf("%v, %v", answer, err)
			}
			_ = s.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = s.Write(junk)
		}
	}
	memory := b.budgetOf("a")
	if used := memory.Used(); used < budget/2 || used > budget {
		t.Errorf("%d MiB are charged of %d", used>>20, budget>>20)
	}
	if after := heap(); after > before+most {
		t.Errorf("%d MiB are in use for %d MiB that came", (after-before)>>20, replicas*streams*written>>20)
	}
	await(t, "the operator sees it", func() bool {
		return strings.Contains(strings.Join(b.Problems(), "\n"), "takes all memory that one peer may take")
	})
	close(release)
	for _, s := range sessions {
		s.Close("gone")
	}
	await(t, "the links have ended", func() bool { return len(b.allLinks()) == 0 })
	if used := memory.Used(); used != 0 {
		t.Errorf("%d bytes are charged after the peer has left", used)
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
