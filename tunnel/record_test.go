package tunnel

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

var update = flag.Bool("update", false, "write the golden files anew")

// samples are one of each message, with every field set: their bytes are the wire format of release 1.
func samples() map[string]struct {
	t recordType
	m proto.Message
} {
	loc := &tunnelpb.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-h"}
	return map[string]struct {
		t recordType
		m proto.Message
	}{
		"hello": {recordControl, &tunnelpb.Control{Message: &tunnelpb.Control_Hello{Hello: &tunnelpb.Hello{
			Cluster: "cn-hangzhou", Replica: "r1", Locality: loc, Role: tunnelpb.Hello_ROLE_CONTROL,
			Link: []byte("0123456789abcdef"), Lane: 3, Features: []string{"x"}, Version: "v1", Refused: "no", Expects: "r2",
		}}}},
		"ping": {recordControl, &tunnelpb.Control{Message: &tunnelpb.Control_Ping{Ping: &tunnelpb.Ping{Sequence: 7}}}},
		"pong": {recordControl, &tunnelpb.Control{Message: &tunnelpb.Control_Pong{Pong: &tunnelpb.Ping{Sequence: 7}}}},
		"reset": {recordControl, &tunnelpb.Control{Message: &tunnelpb.Control_Reset_{Reset_: &tunnelpb.Reset{
			Stream: 9, OpenedBySender: true, Reason: "client reset",
		}}}},
		"goaway": {recordControl, goAway("shutting down")},
		"done":   {recordControl, goAwayDone()},
		"open": {recordOpen, &tunnelpb.Open{
			Id: 9, Namespace: "default", Service: "mockb", Port: 8000, Protocol: "TCP", Caller: "10.0.0.7", CallerLocality: loc,
			Attempts: 3, Visited: []string{"cn-hangzhou"}, TimeoutMs: 15000, Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Probe: true, Channel: "messages",
		}},
		"answer": {recordAnswer, &tunnelpb.Answer{
			Code: tunnelpb.Answer_CODE_UNAVAILABLE, Reason: "no endpoint", RetryAfterMs: 1500,
			Endpoint: "10.0.0.9:8000", EndpointLocality: loc, InFlight: 4,
		}},
	}
}

// TestGoldenBytes guards the wire: bytes that a released version wrote must be read, and written, for ever.
func TestGoldenBytes(t *testing.T) {
	for name, s := range samples() {
		got, err := encodeMessage(s.t, s.m)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(file, []byte(hex.Dump(got)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if hex.Dump(got) != string(want) {
			t.Errorf("%s is written as\n%s\nnot as in %s\n%s", name, hex.Dump(got), file, want)
		}
		back := s.m.ProtoReflect().New().Interface()
		if err := readMessage(bytes.NewReader(got), s.t, back); err != nil || !proto.Equal(back, s.m) {
			t.Errorf("%s is read as %v, %v", name, back, err)
		}
	}
}

// TestNewerPeer: fields and control messages that this release does not know are ignored.
func TestNewerPeer(t *testing.T) {
	t.Parallel()
	b, err := proto.Marshal(header())
	if err != nil {
		t.Fatal(err)
	}
	b = protowire.AppendTag(b, 999, protowire.BytesType)
	b = protowire.AppendBytes(b, []byte("from the future"))
	rec := make([]byte, recordHeader, recordHeader+len(b))
	putRecordHeader(rec, recordOpen, len(b))
	h := new(Header)
	if err := readMessage(bytes.NewReader(append(rec, b...)), recordOpen, h); err != nil || h.GetService() != "echo" {
		t.Errorf("%v, %v", h, err)
	}
	var l link
	future := new(tunnelpb.Control)
	if err := proto.Unmarshal(protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), nil), future); err != nil {
		t.Fatal(err)
	}
	if err := l.handle(nil, future); err != nil {
		t.Errorf("an unknown control message is an error: %v", err)
	}
}

func TestRecordBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		header []byte
		ok     bool
	}{
		{"largest data", []byte{byte(recordData), 0, 0x80, 0}, true},
		{"data one byte too long", []byte{byte(recordData), 0, 0x80, 1}, false},
		{"end with payload", []byte{byte(recordEnd), 0, 0, 1}, false},
		{"open of 16 MB", []byte{byte(recordOpen), 0xff, 0xff, 0xff}, false},
		{"unknown type", []byte{77, 0, 0, 0}, false},
		{"type 0", []byte{0, 0, 0, 0}, false},
	} {
		_, _, err := readRecordHeader(bytes.NewReader(tt.header))
		if (err == nil) != tt.ok || (!tt.ok && !errors.Is(err, errRecord)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestHeaderBounds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxName+1)
	for name, change := range map[string]func(*Header){
		"namespace":       func(h *Header) { h.Namespace = long },
		"service":         func(h *Header) { h.Service = long },
		"caller":          func(h *Header) { h.Caller = long },
		"caller_locality": func(h *Header) { h.CallerLocality = &tunnelpb.Locality{Zone: long} },
		"visited":         func(h *Header) { h.Visited = make([]string, maxVisited+1) },
		"no service":      func(h *Header) { h.Service = "" },
		"names no":        func(h *Header) { h.Port = 70000 },
	} {
		h := header()
		change(h)
		if err := checkOpen(h); !errors.Is(err, errRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkOpen(header()); err != nil {
		t.Error(err)
	}
	if err := checkHello(&tunnelpb.Hello{Cluster: long, Replica: "r"}); !errors.Is(err, errRecord) {
		t.Errorf("long cluster: %v", err)
	}
	if err := checkHello(&tunnelpb.Hello{Replica: "r"}); !errors.Is(err, errRecord) {
		t.Errorf("no cluster: %v", err)
	}
}

// FuzzRecords reads whatever a peer may send, as each message.
func FuzzRecords(f *testing.F) {
	for _, s := range samples() {
		b, err := encodeMessage(s.t, s.m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{byte(recordData), 0, 0, 3, 'a', 'b', 'c', byte(recordEnd), 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, want := range []struct {
			t recordType
			m proto.Message
		}{
			{recordControl, new(tunnelpb.Control)}, {recordOpen, new(Header)}, {recordAnswer, new(tunnelpb.Answer)},
		} {
			if err := readMessage(bytes.NewReader(b), want.t, want.m); err != nil {
				continue
			}
			again, err := encodeMessage(want.t, want.m)
			if err != nil {
				continue // not every encoding is as short as ours
			}
			back := want.m.ProtoReflect().New().Interface()
			if err := readMessage(bytes.NewReader(again), want.t, back); err != nil || !proto.Equal(back, want.m) {
				t.Errorf("%v is read back as %v, %v", want.m, back, err)
			}
			if h, ok := want.m.(*Header); ok {
				_ = checkOpen(h)
			}
		}
		_, n, err := readRecordHeader(bytes.NewReader(b))
		if err == nil && n > MaxMessage {
			t.Errorf("a length of %d was taken", n)
		}
	})
}

// FuzzStream feeds a stream's reader with arbitrary bytes: data must be exactly the data records' payloads, a clean end only by the end record.
func FuzzStream(f *testing.F) {
	f.Add([]byte{byte(recordData), 0, 0, 2, 'h', 'i', byte(recordEnd), 0, 0, 0})
	f.Add([]byte{byte(recordData), 0, 0, 9, 'c', 'u', 't'})
	f.Add([]byte{byte(recordEnd), 0, 0, 0, byte(recordData), 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := &Node{log: nil}
		l := &link{node: n, streams: map[streamKey]*Stream{}, isClosed: true}
		s := newStream(l, &conn{}, &bytesStream{r: bytes.NewReader(b)}, streamKey{id: 1})
		close(s.answered)
		got, err := io.ReadAll(s)
		want, clean := parseData(b)
		if (err == nil) != clean {
			t.Fatalf("clean end %v, error %v", clean, err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("read %x, sent %x", got, want)
		}
	})
}

// parseData is the plainest reading of the format, to compare with.
func parseData(b []byte) (data []byte, clean bool) {
	for len(b) >= recordHeader {
		t, n := recordType(b[0]), int(b[1])<<16|int(b[2])<<8|int(b[3])
		b = b[recordHeader:]
		switch {
		case t == recordEnd && n == 0:
			return data, true
		case t != recordData || n > maxData:
			return data, false
		}
		data = append(data, b[:min(n, len(b))]...)
		b = b[min(n, len(b)):]
	}
	return data, false
}

// TestCutAnywhere: a stream that stops at any byte before the end of its end record never ends clean.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	whole := []byte{byte(recordData), 0, 0, 5, 'h', 'e', 'l', 'l', 'o', byte(recordData), 0, 0, 1, '!', byte(recordEnd), 0, 0, 0}
	for cut := range whole {
		l := &link{node: &Node{}, streams: map[streamKey]*Stream{}, isClosed: true}
		s := newStream(l, &conn{}, &bytesStream{r: bytes.NewReader(whole[:cut])}, streamKey{id: 1})
		close(s.answered)
		if got, err := io.ReadAll(s); !errors.Is(err, ErrReset) {
			t.Errorf("cut after %d bytes: read %q, %v", cut, got, err)
		}
	}
}
