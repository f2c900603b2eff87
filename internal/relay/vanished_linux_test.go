package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestIsVanished(t *testing.T) {
	t.Parallel()
	const silent = uint32(silenceMax / time.Millisecond)
	for name, tt := range map[string]struct {
		info unix.TCPInfo
		want bool
	}{
		"idle for long":                        {unix.TCPInfo{Last_ack_recv: 10 * silent, Last_data_recv: 10 * silent}, false},
		"data unacknowledged for a minute":     {unix.TCPInfo{Unacked: 1, Retransmits: 8, Last_ack_recv: silent, Last_data_recv: silent}, true},
		"not yet for a minute":                 {unix.TCPInfo{Unacked: 1, Retransmits: 8, Last_ack_recv: silent - 1, Last_data_recv: silent}, false},
		"it still sends":                       {unix.TCPInfo{Unacked: 1, Retransmits: 8, Last_ack_recv: silent, Last_data_recv: 10}, false},
		"sent just now, after a quiet minute":  {unix.TCPInfo{Unacked: 1, Retransmits: 2, Last_ack_recv: silent, Last_data_recv: silent}, false},
		"window closed, the probes answered":   {unix.TCPInfo{Backoff: 9, Last_ack_recv: 2 * silent, Last_data_recv: 9 * silent}, false},
		"window closed, one probe lost":        {unix.TCPInfo{Probes: 1, Backoff: 9, Last_ack_recv: 4 * silent, Last_data_recv: 9 * silent}, false},
		"window closed, probes not answered":   {unix.TCPInfo{Probes: 3, Backoff: 9, Last_ack_recv: 6 * silent, Last_data_recv: 9 * silent}, true},
		"unanswered probes in the last second": {unix.TCPInfo{Probes: 3, Last_ack_recv: 900, Last_data_recv: 9 * silent}, false},
	} {
		if got := isVanished(&tt.info); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestVanishedHost: the end is reported as a loss, not as a reset by the other side, whatever the relay waits for at that moment.
func TestVanishedHost(t *testing.T) {
	t.Parallel()
	w := watcher(t)
	r := newRig(t, w, nil)
	mustWrite(t, r.client, "ping")
	mustRead(t, r.server, "ping")
	w.mu.Lock()
	for _, s := range w.sockets {
		if s.token == w.last { // the server's end
			go s.gone()
		}
	}
	w.mu.Unlock()
	res := r.wait(t)
	if res.How != Broken || res.By != Server || !errors.Is(res.Err, syscall.ETIMEDOUT) {
		t.Errorf("%v, %v", res, res.Err)
	}
	mustReset(t, r.client)
}

// TestUrgentByte: a byte that is sent as urgent data arrives in its place.
func TestUrgentByte(t *testing.T) {
	t.Parallel()
	r := newRig(t, watcher(t), nil)
	raw, err := r.client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, r.client, "abc")
	var sendErr error
	if err := raw.Control(func(fd uintptr) { sendErr = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) }); err != nil || sendErr != nil {
		t.Fatal(err, sendErr)
	}
	mustWrite(t, r.client, "def")
	if err := r.client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r.server); err != nil || string(got) != "abc!def" {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestUnpollable: the event of a reset tells of an error alone only for a moment; that of a full pipe without a reader stays.
func TestUnpollable(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = writer.Close() })
	_ = writer.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := io.Copy(writer, endless{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	_ = reader.Close()
	pipe, err := writer.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	unpollable := &net.OpError{Op: "read", Err: pipe.Read(func(uintptr) bool { return false })}
	if !isUnpollable(unpollable) {
		t.Fatal(unpollable)
	}

	r := newRig(t, watcher(t), nil)
	raw, err := r.client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	tcp := &TCP{raw: raw}
	if got := tcp.cause(unpollable); !isReset(got) {
		t.Errorf("when another call took the socket's error: %v", got)
	}
	reset(r.server)
	for deadline := time.Now().Add(patience); !socketClosed(raw); {
		if time.Now().After(deadline) {
			t.Fatal("the reset does not arrive")
		}
	}
	if got := tcp.cause(unpollable); !errors.Is(got, syscall.ECONNRESET) {
		t.Errorf("when the socket has it: %v", got)
	}
}
