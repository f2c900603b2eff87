package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

var update = flag.Bool("update", false, "write the golden files again")

// samples are one of each message, with every field set: their bytes are the wire format of release 1.
func samples() map[string]struct {
	t Type
	m proto.Message
} {
	loc := &tunnelpb.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-h"}
	return map[string]struct {
		t Type
		m proto.Message
	}{
		"hello": {Control, &tunnelpb.Control{Message: &tunnelpb.Control_Hello{Hello: &tunnelpb.Hello{
			Cluster: "cn-hangzhou", Replica: "r1", Locality: loc, Role: tunnelpb.Hello_ROLE_CONTROL,
			Link: []byte("0123456789abcdef"), Lane: 3, Features: []string{"x"}, Version: "v1", Refused: "no", Expects: "r2",
		}}}},
		"ping": {Control, &tunnelpb.Control{Message: &tunnelpb.Control_Ping{Ping: &tunnelpb.Ping{Sequence: 7}}}},
		"pong": {Control, &tunnelpb.Control{Message: &tunnelpb.Control_Pong{Pong: &tunnelpb.Ping{Sequence: 7}}}},
		"reset": {Control, &tunnelpb.Control{Message: &tunnelpb.Control_Reset_{Reset_: &tunnelpb.Reset{
			Stream: 9, OpenedBySender: true, Reason: "client reset",
		}}}},
		"goaway": {Control, GoAway("shutting down")},
		"done":   {Control, GoAwayDone(false)},
		"again":  {Control, GoAwayDone(true)},
		"open": {Open, &tunnelpb.Open{
			Id: 9, Namespace: "default", Service: "mockb", Port: 8000, Protocol: "TCP", Caller: "10.0.0.7", CallerLocality: loc,
			Attempts: 3, Visited: []string{"cn-hangzhou"}, TimeoutMs: 15000, Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Probe: true, Channel: "messages",
		}},
		"answer": {Answer, &tunnelpb.Answer{
			Code: tunnelpb.Answer_CODE_UNAVAILABLE, Reason: "no endpoint", RetryAfterMs: 1500,
			Endpoint: "10.0.0.9:8000", EndpointLocality: loc, InFlight: 4,
		}},
	}
}

// TestGoldenBytes guards the wire: bytes that a released version wrote must be read, and written, for ever.
func TestGoldenBytes(t *testing.T) {
	for name, s := range samples() {
		got, err := Encode(s.t, s.m)
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
		if err := Read(bytes.NewReader(got), s.t, back); err != nil || !proto.Equal(back, s.m) {
			t.Errorf("%s is read as %v, %v", name, back, err)
		}
	}
}

// TestNewerPeer: fields and control messages that this release does not know are ignored.
func TestNewerPeer(t *testing.T) {
	t.Parallel()
	b, err := proto.Marshal(anOpen())
	if err != nil {
		t.Fatal(err)
	}
	b = protowire.AppendTag(b, 999, protowire.BytesType)
	b = protowire.AppendBytes(b, []byte("from the future"))
	rec := make([]byte, HeaderSize, HeaderSize+len(b))
	PutHeader(rec, Open, len(b))
	h := new(tunnelpb.Open)
	if err := Read(bytes.NewReader(append(rec, b...)), Open, h); err != nil || h.GetService() != "echo" {
		t.Errorf("%v, %v", h, err)
	}
}

func anOpen() *tunnelpb.Open {
	return &tunnelpb.Open{Namespace: "default", Service: "echo", Port: 8000}
}

// TestAppendData: a peer of the release before gets records of the size that it takes.
func TestAppendData(t *testing.T) {
	t.Parallel()
	p := make([]byte, 100_000)
	for name, c := range map[string]struct {
		hello *tunnelpb.Hello
		want  []int // lengths
	}{
		"this release":       {&tunnelpb.Hello{Features: Features()}, []int{MaxData}},
		"the release before": {&tunnelpb.Hello{}, []int{SmallData, MaxData - SmallData - HeaderSize}},
	} {
		b, n := AppendData(make([]byte, 0, WriteSize), p, DataLimit(c.hello))
		if len(b) != WriteSize || n != WriteSize-HeaderSize*len(c.want) {
			t.Errorf("%s: %d bytes for %d", name, len(b), n)
		}
		for _, want := range c.want {
			kind, n, err := ReadHeader(bytes.NewReader(b))
			if err != nil || kind != Data || n != want {
				t.Fatalf("%s: a record of type %d with %d bytes, %v", name, kind, n, err)
			}
			b = b[HeaderSize+n:]
		}
	}
}

func TestRecordBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		header []byte
		ok     bool
	}{
		{"largest data", []byte{byte(Data), 0, 0xff, 0xf0}, true},
		{"data one byte too long", []byte{byte(Data), 0, 0xff, 0xf1}, false},
		{"end with payload", []byte{byte(End), 0, 0, 1}, false},
		{"open of 16 MB", []byte{byte(Open), 0xff, 0xff, 0xff}, false},
		{"unknown type", []byte{77, 0, 0, 0}, false},
		{"type 0", []byte{0, 0, 0, 0}, false},
	} {
		_, _, err := ReadHeader(bytes.NewReader(tt.header))
		if (err == nil) != tt.ok || (!tt.ok && !errors.Is(err, ErrRecord)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestHeaderBounds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxName+1)
	for name, change := range map[string]func(*tunnelpb.Open){
		"namespace":       func(h *tunnelpb.Open) { h.Namespace = long },
		"service":         func(h *tunnelpb.Open) { h.Service = long },
		"caller":          func(h *tunnelpb.Open) { h.Caller = long },
		"caller_locality": func(h *tunnelpb.Open) { h.CallerLocality = &tunnelpb.Locality{Zone: long} },
		"hostname":        func(h *tunnelpb.Open) { h.Hostname = long },
		"visited":         func(h *tunnelpb.Open) { h.Visited = make([]string, MaxVisited+1) },
		"no service":      func(h *tunnelpb.Open) { h.Service = "" },
		"names no":        func(h *tunnelpb.Open) { h.Port = 70000 },
	} {
		h := anOpen()
		change(h)
		if err := CheckOpen(h); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckOpen(anOpen()); err != nil {
		t.Error(err)
	}
	if err := CheckHello(&tunnelpb.Hello{Cluster: long, Replica: "r"}); !errors.Is(err, ErrRecord) {
		t.Errorf("long cluster: %v", err)
	}
	if err := CheckHello(&tunnelpb.Hello{Replica: "r"}); !errors.Is(err, ErrRecord) {
		t.Errorf("no cluster: %v", err)
	}
}

// FuzzRecords reads whatever a peer may send, as each message.
func FuzzRecords(f *testing.F) {
	for _, s := range samples() {
		b, err := Encode(s.t, s.m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{byte(Data), 0, 0, 3, 'a', 'b', 'c', byte(End), 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, want := range []struct {
			t Type
			m proto.Message
		}{
			{Control, new(tunnelpb.Control)}, {Open, new(tunnelpb.Open)}, {Answer, new(tunnelpb.Answer)},
		} {
			if err := Read(bytes.NewReader(b), want.t, want.m); err != nil {
				continue
			}
			again, err := Encode(want.t, want.m)
			if err != nil {
				continue // not every encoding is as short as ours
			}
			back := want.m.ProtoReflect().New().Interface()
			if err := Read(bytes.NewReader(again), want.t, back); err != nil || !proto.Equal(back, want.m) {
				t.Errorf("%v is read back as %v, %v", want.m, back, err)
			}
			if h, ok := want.m.(*tunnelpb.Open); ok {
				_ = CheckOpen(h)
			}
		}
		_, n, err := ReadHeader(bytes.NewReader(b))
		if err == nil && n > MaxMessage {
			t.Errorf("a length of %d was taken", n)
		}
	})
}
