package tunnel

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// TestNewerControlMessage: a control message that this release does not know is ignored.
func TestNewerControlMessage(t *testing.T) {
	t.Parallel()
	var l link
	future := new(tunnelpb.Control)
	if err := proto.Unmarshal(protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), nil), future); err != nil {
		t.Fatal(err)
	}
	if err := l.handle(nil, future); err != nil {
		t.Errorf("an unknown control message is an error: %v", err)
	}
}

// FuzzStream feeds a stream's reader with arbitrary bytes: data must be exactly the data records' payloads, a clean end only by the end record.
func FuzzStream(f *testing.F) {
	f.Add([]byte{byte(wire.Data), 0, 0, 2, 'h', 'i', byte(wire.End), 0, 0, 0})
	f.Add([]byte{byte(wire.Data), 0, 0, 9, 'c', 'u', 't'})
	f.Add([]byte{byte(wire.End), 0, 0, 0, byte(wire.Data), 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := &Node{log: nil}
		l := &link{node: n, streams: map[streamKey]*Stream{}, life: phase{ended: true}}
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

// hurried is a reader whose deadline passes after each byte.
type hurried struct {
	r    io.Reader
	late bool
}

func (h *hurried) Read(p []byte) (int, error) {
	if h.late = !h.late; h.late {
		return 0, os.ErrDeadlineExceeded
	}
	return h.r.Read(p[:min(len(p), 1)])
}

// TestReadDeadlineLosesNothing: it may pass inside a record's header and inside its data.
func TestReadDeadlineLosesNothing(t *testing.T) {
	t.Parallel()
	sent := []byte{byte(wire.Data), 0, 0, 2, 'h', 'i', byte(wire.Data), 0, 0, 1, '!', byte(wire.End), 0, 0, 0}
	l := &link{node: &Node{}, streams: map[streamKey]*Stream{}, life: phase{ended: true}}
	s := newStream(l, &conn{}, &bytesStream{r: &hurried{r: bytes.NewReader(sent)}}, streamKey{id: 1})
	if err := s.SetReadDeadline(time.Now()); err == nil {
		t.Error("a deadline before the answer")
	}
	close(s.answered)
	var got []byte
	buf, late := make([]byte, 8), 0
	for {
		n, err := s.Read(buf)
		got = append(got, buf[:n]...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			late++
		case errors.Is(err, io.EOF):
			if string(got) != "hi!" || late != len(sent) {
				t.Errorf("read %q with %d deadlines", got, late)
			}
			return
		case err != nil:
			t.Fatal(err)
		}
	}
}

// parseData is the plainest reading of the format, to compare with.
func parseData(b []byte) (data []byte, clean bool) {
	for len(b) >= wire.HeaderSize {
		t, n := wire.Type(b[0]), int(b[1])<<16|int(b[2])<<8|int(b[3])
		b = b[wire.HeaderSize:]
		switch {
		case t == wire.End && n == 0:
			return data, true
		case t != wire.Data || n > wire.MaxData:
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
	whole := []byte{byte(wire.Data), 0, 0, 5, 'h', 'e', 'l', 'l', 'o', byte(wire.Data), 0, 0, 1, '!', byte(wire.End), 0, 0, 0}
	for cut := range whole {
		l := &link{node: &Node{}, streams: map[streamKey]*Stream{}, life: phase{ended: true}}
		s := newStream(l, &conn{}, &bytesStream{r: bytes.NewReader(whole[:cut])}, streamKey{id: 1})
		close(s.answered)
		if got, err := io.ReadAll(s); !errors.Is(err, ErrReset) {
			t.Errorf("cut after %d bytes: read %q, %v", cut, got, err)
		}
	}
}
