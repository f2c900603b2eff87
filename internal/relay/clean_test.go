package relay

import (
	"net"
	"runtime"
	"testing"
	"testing/synctest"
)

// TestCleanBothWaysThenGone: a side that is lost after both directions have ended clean takes nothing back, although what it had sent
// is still on its way to a slow reader.
func TestCleanBothWaysThenGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := newFakeEnd(), newFakeEnd()
		done := make(chan Result)
		go func() { done <- Run(t.Context(), client, server, nil, 0) }()
		close(client.in) // the request is complete
		<-server.ended
		synctest.Wait()
		close(server.broken)
		synctest.Wait()
		server.in <- []byte("the last of the answer")
		close(server.in)
		if res := <-done; res.How != Closed || res.By != Client {
			t.Errorf("%v, %v", res, res.Err)
		}
		select {
		case <-client.ended:
		default:
			t.Error("the reader did not see the clean end")
		}
		select {
		case <-client.aborted:
			t.Error("the reader was reset")
		default:
		}
	})
}

// What the kernel does to the sockets of a process that is killed, it closes them, is no clean end for the other side.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(ours, theirs *net.TCPConn){
		"nothing sent": func(_, _ *net.TCPConn) {},
		"data sent":    func(ours, theirs *net.TCPConn) { mustWrite(t, ours, "part"); mustRead(t, theirs, "part") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := pair(t)
			if _, err := NewTCP(ours, nil); err != nil {
				t.Fatal(err)
			}
			before(ours, theirs)
			if err := ours.Close(); err != nil {
				t.Fatal(err)
			}
			if got := mustReset(t, theirs); len(got) > 0 {
				t.Errorf("%q came", got)
			}
		})
	}
}

// TestPending looks at a socket on which nothing has come, and at its bytes and its end.
func TestPending(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(ours, theirs *net.TCPConn)
		want   bool
	}{
		"nothing": {func(_, _ *net.TCPConn) {}, false},
		"bytes": {func(ours, theirs *net.TCPConn) {
			mustWrite(t, theirs, "ab")
			mustRead(t, ours, "a") // so that the other one has come too
		}, true},
		"end":    {func(ours, _ *net.TCPConn) { _ = ours.CloseRead() }, true},
		"closed": {func(ours, _ *net.TCPConn) { _ = ours.Close() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := pair(t)
			s, err := NewSocket(ours, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.before(ours, theirs)
			if got := Pending(s); got != (c.want && runtime.GOOS == "linux") {
				t.Errorf("pending: %v", got)
			}
		})
	}
}
