package tunnel

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel/tunnelpb"
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

// TestYamuxPingsEndTheConnection: an authenticated peer that sends yamux pings and does not read loses its connection, and
// no goroutine is left that waits to answer.
func TestYamuxPingsEndTheConnection(t *testing.T) {
	t.Parallel()
	ca, cb := configs(t, withTransport("tcp"))
	b := startNode(t, cb)
	b.SetPeers([]Peer{{Name: "a"}})
	cfg, err := ca.Credentials.ClientConfig("b")
	if err != nil {
		t.Fatal(err)
	}
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: cfg}
	raw, err := d.DialContext(t.Context(), "tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(patience)) // fails the test instead of hanging it
	hello, err := encodeMessage(recordControl, &tunnelpb.Control{Message: &tunnelpb.Control_Hello{Hello: &tunnelpb.Hello{
		Cluster: "a", Replica: "r", Role: tunnelpb.Hello_ROLE_CONTROL, Link: []byte("0123456789abcdef"),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	const syn = 1
	_, _ = raw.Write(yamuxFrame(1, syn, 1, 0, nil))
	_, _ = raw.Write(yamuxFrame(yamuxTypeData, 0, 1, uint32(len(hello)), hello))
	await(t, "linked", func() bool { return len(b.allLinks()) == 1 })
	l := onlyLink(t, b)
	var pings []byte
	for i := range uint32(1000) {
		pings = append(pings, yamuxFrame(yamuxTypePing, syn, 0, i, nil)...)
	}
	_, _ = raw.Write(pings) // it may have ended before the last of them
	await(t, "the connection has ended", l.ended)
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
