package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eastway/eastway/internal/sim/pattern"
)

// A call begins with a header, so that an endpoint needs to know nothing: magic, call, kind, up, down, steps, think (ms), each of
// four bytes. A greeting is what an endpoint says first where it does.
const (
	headerSize   = 28
	headerMagic  = 0x65617374
	greetingSize = 8
)

var errHeader = errors.New("not a header")

func (c *Call) header() []byte {
	b := make([]byte, 0, headerSize)
	for _, v := range []int{headerMagic, c.ID, int(c.Kind), c.Up, c.Down, c.Steps, int(c.Think.Milliseconds())} {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}

func parseHeader(b []byte) (*Call, error) {
	var v [headerSize / 4]int
	for i := range v {
		v[i] = int(binary.BigEndian.Uint32(b[4*i:]))
	}
	if v[0] != headerMagic || Kind(v[2]) >= kinds {
		return nil, errHeader
	}
	return &Call{ID: v[1], Kind: Kind(v[2]), Up: v[3], Down: v[4], Steps: v[5], Think: time.Duration(v[6]) * time.Millisecond}, nil
}

// wrongByteError is a violation wherever it is seen.
type wrongByteError struct{ offset int64 }

func (e *wrongByteError) Error() string { return fmt.Sprintf("the byte at %d is wrong", e.offset) }

// flow reads or writes one direction's content.
type flow struct {
	content pattern.Content
	at      int64
	buf     []byte
}

func (f *flow) buffer(n int) []byte {
	if len(f.buf) < n {
		f.buf = make([]byte, n)
	}
	return f.buf[:n]
}

// send writes the next n bytes.
func (f *flow) send(w io.Writer, n int) error {
	buf := f.buffer(min(n, 16<<10))
	for n > 0 {
		b := buf[:min(n, len(buf))]
		f.content.Fill(b, f.at)
		sent, err := w.Write(b)
		f.at += int64(sent)
		n -= sent
		if err != nil {
			return err
		}
	}
	return nil
}

// receive reads and checks the next n bytes; io.EOF if the end comes first.
func (f *flow) receive(r io.Reader, n int) error {
	end := f.at + int64(n)
	for f.at < end {
		if err := f.some(r, int(end-f.at)); err != nil {
			return err
		}
	}
	return nil
}

// receiveAll reads and checks until the clean end.
func (f *flow) receiveAll(r io.Reader) error {
	for {
		if err := f.some(r, 32<<10); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func (f *flow) some(r io.Reader, most int) error {
	buf := f.buffer(min(most, 16<<10))
	n, err := r.Read(buf)
	if bad := f.content.Wrong(buf[:n], f.at); bad >= 0 {
		return &wrongByteError{offset: bad}
	}
	f.at += int64(n)
	return err
}
